"""What the benchmark of pruning and distillation runs: recipes, changed where a case asks for it, and what they report.

Runs of one benchmark share a cache, which is emptied when it starts: what one of them trained the next one need not.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from precision_figures import DOCS

ROOT = DOCS.parent
RECIPES = ROOT / "recipes"
PLACE = ROOT / ".bench" / "compress"
sys.path.insert(0, str(RECIPES))
os.environ["MLOPT_CACHE"] = str(PLACE / "cache")

from mlopt import api  # noqa: E402 - after the cache's place is said
from mlopt.results.report import Report  # noqa: E402

AFTERWARDS: tuple[Any, ...] = ({"export": {"opset": 20}}, "simplify", {"fuse": {"optional": True}})
"""What comes after the passes that train, in the cases that have no recipe of their own."""
KEPT = frozenset({"applied", "cached"})
_AT_ONCE = 250


@dataclass(frozen=True)
class Done:
    """One run."""

    path: Path
    report: Report

    @property
    def seconds(self) -> float:
        """What it takes from nothing: training the source, all steps (cached ones, too), choosing, measuring."""
        report = self.report
        trained = sum(each["seconds"] for each in report.source_notes.get("trainings", ()))
        steps = sum(each.seconds or 0.0 for each in report.steps)
        return trained + steps + sum(report.spent.values()) + (report.sampling.seconds if report.sampling else 0.0)

    def notes(self, step: str) -> Mapping[str, Any]:
        """Return what a step had to say; raises ``SystemExit`` if it was not applied."""
        found = next(each for each in self.report.steps if each.name == step)
        if found.status not in KEPT:
            raise SystemExit(f"{self.path.name}: {step} was {found.status}: {found.reason}")
        return found.notes

    def figures(self) -> dict[str, Any]:
        """Return what is stored of it: times in ms, sizes in bytes, intervals of 95 %."""
        report, final, base = self.report, self.report.final, self.report.baseline
        drop = report.accuracy_drop
        return {
            "verdict": report.verdict,
            "speedup": {"median": report.speedup.median, "ci95": list(report.speedup.ci95)},
            "runtime": [base.runtime, final.runtime],
            "batch_size": final.batch_size,
            "p50_ms": [base.latency_ms.p50, final.latency_ms.p50],
            "size_bytes": [base.size_bytes, final.size_bytes],
            "score": [each.accuracy.value if each.accuracy else None for each in (base, final)],
            "drop_pt": None if drop is None else {"value": drop.pt, "ci95": list(drop.ci95), "n": drop.n},
            "took_s": round(self.seconds, 1),
        }

    def outputs(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the first output of what was shipped for samples, [samples, ...]."""
        count = len(next(iter(inputs.values())))
        with api.load(self.path) as session:
            parts = [
                next(iter(session.run({name: each[at : at + _AT_ONCE] for name, each in inputs.items()}).values()))
                for at in range(0, count, _AT_ONCE)
            ]
        return np.concatenate(parts)


def start() -> None:
    """Forget what earlier runs left."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)


def optimized(
    recipe: str, name: str, passes: Sequence[Any] | None = None, *changes: str, judged: bool = True
) -> Done:  # fmt: skip
    """Run a recipe with other passes, or keys of them, into a folder ``name``; ``judged`` is False to ask no gates."""
    overrides = [*([] if passes is None else [f"passes={json.dumps(list(passes))}"]), *changes]
    if not judged:
        overrides.append("gates=[]")
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    done = api.optimize(RECIPES / f"{recipe}.yaml", output=place, overrides=overrides, allow_code=True)
    return Done(place, done.report)


def passes_of(recipe: str) -> list[Any]:
    """Return the passes that a recipe names."""
    import yaml

    found: list[Any] = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"))["passes"]
    return found
