"""Is `quantize: {mode: auto}` faster and still right, on this machine, and how do other tools do beside it?

python benchmarks/precision.py [--cases NAME,...] [--seconds S] [--peers none|ort|all] [--update]

Each case is a real model with real inputs (``precision_models``). Its FP32 graph in ONNX Runtime with all optimizations
is the baseline. mlopt quantizes it under fixed bars for quality (``precision_quality``), other tools do with their
defaults, and all of them, with a second copy of the baseline, are timed in one interleaved run: a process for each, two
threads, batch 1. A tool that fails is in the table with what it said last.

A whole run goes to benchmarks/results/precision_KIND.json, KIND being what the CPU has for INT8 (vnni, avx2, arm); one
of some cases only with --update, which merges it into what is there. `python benchmarks/precision_page.py` makes pages
of what is stored. The exit code is 1 if something is not as it must be. `make precision` makes the other tools'
environments, runs all of it and writes the pages.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import precision_contenders as made
from precision_contenders import CONTROL, FP32, MLOPT, OPENVINO_FP32, PEERS, Contender, Elsewhere, FailedError, Peer
from precision_figures import RESULTS, against_best, geometric_mean, int8_kind, merged, ratio, store
from precision_judge import Judge
from precision_models import BENCH, CASES, Case, prepare
from precision_running import ROUNDS, Race, interleaved, schedule

from mlopt.core.hardware import detect
from mlopt.measure import statistics
from mlopt.results.environment import environment, now

LEAST_SPEEDUP = {"efficientnet_lite0": 1.3, "minilm_64": 1.25}
AIM = 1.25
"""Of the geometric mean over all cases: said, not asked."""


def main() -> None:
    """Run the cases, store what was found, and say whether it is as it must be."""
    options, hardware = arguments(), detect()
    output = options.output or RESULTS / f"precision_{int8_kind(hardware)}.json"
    document: dict[str, Any] = {
        "environment": environment(hardware).model_dump(mode="json"),
        "versions": made.versions({peer.environment: peer.python for peer in peers(options.peers) if peer.environment}),
        "settings": {"seconds": options.seconds, "rounds": ROUNDS, "threads": made.THREADS, "batch_size": 1},
        "cases": {},
    }
    for name in options.cases:
        document["cases"][name] = run(name, options)
        print(json.dumps({name: brief(document["cases"][name])}), flush=True)
    if set(options.cases) == set(CASES) or options.update:
        document = merged(document, output, CASES) if options.update else document
        document["geometric_mean"] = geometric_mean(case["counted_speedup"] for case in document["cases"].values())
        print(f"geometric mean {document['geometric_mean']:.2f}x, aim {AIM}x")
        store(document, output)
    wrong = [line for name, case in document["cases"].items() for line in unmet(name, case)]
    print("\n".join(wrong) or "all as it must be")
    sys.exit(1 if wrong else 0)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--seconds", type=float, default=6.0, help="timed seconds of each contender")
    parser.add_argument("--peers", choices=["none", "ort", "all"], default="all", help="which other tools")
    parser.add_argument("--update", action="store_true", help="merge the cases of this run into the stored file")
    parser.add_argument("--output", type=Path, help="another file than that of this kind of CPU")
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    if unknown := sorted(set(options.cases) - set(CASES)):
        parser.error(f"no such case: {', '.join(unknown)}")
    return options


def peers(which: str) -> list[Peer]:
    """Return the other tools that were asked for."""
    return [peer for peer in PEERS if which == "all" or (which == "ort" and peer.environment is None)]


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare one case, let every tool do its work, judge what came out, and time it."""
    judge = Judge.of(prepare(name, BENCH / "precision" / name))
    rows: dict[str, dict[str, Any]] = {FP32: {"quality": judge.of_fp32, "size_bytes": judge.fp32.size_bytes}}
    contenders = {FP32: judge.fp32, CONTROL: judge.fp32}
    for title, make in makers(judge, options).items():
        started = time.monotonic()
        try:
            contender, more = make()
            took = time.monotonic() - started
            rows[title] = {**judge.row(contender), "made_in_s": round(took, 1), **more}
        except FailedError as error:
            rows[title] = {"failed": str(error)}
            continue
        contenders[title] = contender
    race = interleaved(contenders, judge.case.evaluation, judge.evaluation, schedule(options.seconds))
    return described(judge, rows, race)


Maker = Callable[[], tuple[Contender, dict[str, Any]]]


def makers(judge: Judge, options: argparse.Namespace) -> dict[str, Maker]:
    """Return how each contender is made, with what is to be told of it."""
    case = judge.case
    found: dict[str, Maker] = {MLOPT: lambda: by_mlopt(case, judge.of_fp32, options.seconds)}
    for peer in peers(options.peers):
        found[peer.name] = partial(by_peer, peer, case, judge.calibration)
    if options.peers == "all":
        fp32 = Contender(OPENVINO_FP32, Elsewhere(PEERS[-1].python, case.model.path))
        found[OPENVINO_FP32] = lambda: (fp32, {})
    return found


def by_peer(peer: Peer, case: Case, calibration: Path) -> tuple[Contender, dict[str, Any]]:
    """Let another tool quantize the case."""
    return made.by_peer(peer, case, calibration), {}


def by_mlopt(case: Case, of_fp32: Mapping[str, float], seconds: float) -> tuple[Contender, dict[str, Any]]:
    """Let mlopt quantize the case; return also what its report says of the step."""
    contender, report = made.by_mlopt(case, of_fp32, seconds)
    step = next(step for step in report["steps"] if step["pass"] == "quantize")
    wanted = ("status", "reason", "seconds", "peak_rss_bytes", "notes")
    return contender, {"verdict": report["verdict"], "step": {key: step[key] for key in wanted}}


def described(judge: Judge, rows: dict[str, dict[str, Any]], race: Race) -> dict[str, Any]:
    """Put figures beside each contender, and say what mlopt came to."""
    case, blocks, lost = judge.case, race.blocks, race.lost
    if gone := sorted({FP32, CONTROL} & set(lost)):
        raise SystemExit(f"{case.name}: nothing can be compared, since {gone[0]} was lost: {lost[gone[0]]}")
    base = blocks[FP32]
    for name, row in rows.items():
        if name in lost:
            row["failed"] = lost[name]
        elif name in blocks:
            row["p50_ms"] = statistics.latency(blocks[name]).p50
            row["speedup"] = ratio(base, blocks[name]) if name != FP32 else None
    return {
        "created": now(),
        "model": {"digest": case.model.digest, "inputs": [str(spec) for spec in case.model.inputs]},
        "samples": {"calibration": case.calibration.count, "evaluation": case.evaluation.count},
        "bars": dict(judge.bars),
        "control": list(statistics.control(base, blocks[CONTROL])),
        "noise_floor": statistics.noise_floor(base, blocks[CONTROL]),
        "contenders": rows,
        "counted_speedup": counted(rows[MLOPT]),
        "against_peers": against(rows, blocks),
    }


def counted(row: Mapping[str, Any]) -> float:
    """Return mlopt's speedup as it counts: 1 where the step was dropped, or where its model misses a bar."""
    if "speedup" not in row or row["missed"] or row["step"]["status"] not in {"applied", "cached"}:
        return 1.0
    return float(row["speedup"]["median"])


def against(rows: Mapping[str, Any], blocks: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Any] | None:
    """Hold mlopt's model against each tool that meets the bars; the one that does best against it is the answer."""
    names = [peer.name for peer in PEERS if peer.name in blocks and not rows[peer.name]["missed"]]
    if MLOPT not in blocks or rows[MLOPT]["missed"] or not names:
        return None
    found = against_best(blocks[MLOPT], {name: blocks[name] for name in names})
    return found and {"best_peer" if key == "best" else key: value for key, value in found.items()}


def unmet(name: str, case: Mapping[str, Any]) -> list[str]:
    """Return what a case does not keep of what is asked of mlopt."""
    row = case["contenders"][MLOPT]
    if "failed" in row:
        return [f"{name}: mlopt failed: {row['failed']}"]
    found = [f"{name}: {bar} {row['quality'][bar]:.4f} is under {case['bars'][bar]:.4f}" for bar in row["missed"]]
    if row["speedup"]["ci95"][1] * (1 + case["noise_floor"]) < 1:
        found.append(f"{name}: slower than FP32: {row['speedup']['median']:.2f}x")
    if (least := LEAST_SPEEDUP.get(name, 0.0)) > case["counted_speedup"]:
        found.append(f"{name}: {case['counted_speedup']:.2f}x is less than {least}x")
    return found


def brief(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case in a line: for each contender its speedup and what it misses, or why it failed."""
    lines = {}
    for name, row in case["contenders"].items():
        speed = f"{row['speedup']['median']:.2f}x" if row.get("speedup") else ""
        lines[name] = row.get("failed") or " ".join([speed, *(f"{k} {v:.4f}" for k, v in row["quality"].items())])
    return lines


if __name__ == "__main__":
    main()
