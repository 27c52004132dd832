"""What both benchmarks of precision and runtimes make of timed blocks, and how they keep it: pure but for the files.

Ratios say how many times as fast something is. ``yes`` is at least as fast as asked, ``no`` measurably slower (all of
the 95 % interval lies below), ``open`` that the run cannot tell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlopt.core.hardware import Hardware
from mlopt.measure import statistics

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"
Blocks = Sequence[Sequence[float]]


def int8_kind(hardware: Hardware) -> str:
    """Return what decides which INT8 a CPU computes well."""
    if hardware.architecture in {"aarch64", "arm64"}:
        return "arm"
    return "vnni" if hardware.has_int8_dot else "avx2"


def ratio(base: Blocks, new: Blocks) -> dict[str, Any]:
    """Return how many times faster ``new`` is, with its 95 % interval."""
    middle, low, high = statistics.speedup(base, new)
    return {"median": middle, "ci95": [low, high]}


def against_best(
    mine: Blocks, others: Mapping[str, Blocks], least: float = 1.0, floor: float = 0.0
) -> dict[str, Any] | None:
    """Hold ``mine`` against the one of ``others`` that does best against it; None if there is none.

    The verdict is about being at least ``least`` times as fast. Nobody is slower by less than ``floor``, what two
    copies of one model differ by in this run.
    """
    ratios = {name: ratio(blocks, mine) for name, blocks in others.items()}
    if not ratios:
        return None
    best = min(ratios, key=lambda name: ratios[name]["median"])
    found = ratios[best]
    verdict = "yes" if found["median"] >= least else "no" if found["ci95"][1] * (1 + floor) < least else "open"
    return {"verdict": verdict, "best": best, "times_as_fast": found["median"], "ci95": found["ci95"]}


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of at least one ratio."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def merged(document: dict[str, Any], stored: Path, order: Iterable[str]) -> dict[str, Any]:
    """Return the stored document with this one's cases in place of its own; raises if the machines differ."""
    if not stored.exists():
        return document
    old: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8"))
    if old["environment"]["cpu"] != document["environment"]["cpu"]:
        raise SystemExit(f"{stored} was measured on another machine: run all cases")
    cases = {**old["cases"], **document["cases"]}
    return old | document | {"cases": {name: cases[name] for name in order if name in cases},
                             "versions": old["versions"] | document["versions"]}  # fmt: skip


def store(document: Mapping[str, Any], path: Path) -> None:
    """Write a document as the pages read it."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
