"""ONNX's own tests of single operators through ``simplify`` and ``fuse``: what comes out must answer as before.

python benchmarks/node_tests.py [--only PATTERN] [--jobs J]      # a few minutes; exits 1 if an answer changed

The models are those of onnx/backend/test/data and those that ``onnx.backend.test.case.node`` makes, with their inputs.
Expected is what onnxruntime answers to the source with its optimizations off, so what it cannot run, or answers anew
each time, is counted and left out. The result of each pass is run with optimizations off and on. Counts go to
benchmarks/results/node_tests.json.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from node_trials import PASSES, Outcome, Trials, cases, normal

from mlopt.core.hardware import detect
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError
from mlopt.results.environment import environment

RESULT = Path(__file__).parent / "results/node_tests.json"
SECONDS = 60.0


def work(names: Sequence[str], log: Path) -> Iterator[tuple[str, dict[str, Outcome]]]:
    """Try cases in a worker, and start another where one dies."""
    worker = None
    for name in names:
        try:
            if worker is None:
                worker = Worker(log)
                worker.host(Trials)
            case = cases()[name]
            yield name, worker.invoke("run", case.model.SerializeToString(), case.inputs, timeout=SECONDS)
        except (WorkerDiedError, WorkerRaisedError) as error:
            if worker is not None:
                worker.close()
            worker = None
            yield name, {"source": ("crash", normal(str(error)))}
    if worker is not None:
        worker.close()


def run(names: Sequence[str], jobs: int) -> dict[str, dict[str, Outcome]]:
    """Try all ``names``."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(lambda job: list(work(names[job::jobs], Path(folder) / f"log{job}")), range(jobs))
        return {name: found for part in parts for name, found in part}


def summarize(found: Mapping[str, Mapping[str, Outcome]]) -> dict[str, Any]:
    """Count."""
    table: dict[str, Counter[str]] = {chain: Counter() for chain in ("source", *PASSES)}
    reasons: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, outcomes in sorted(found.items()):
        for chain, (outcome, reason) in outcomes.items():
            table[chain][outcome] += 1
            if outcome != "right":
                reasons[f"{chain}: {outcome}"][reason].append(name)
    return {
        "environment": environment(detect()).model_dump(mode="json"),
        "cases": len(found),
        "run": sum("source" not in outcomes for outcomes in found.values()),
        "counts": {chain: dict(counts) for chain, counts in table.items()},
        "reasons": {key: dict(value) for key, value in reasons.items()},
    }


def main() -> None:
    """Run all cases, or those that match, and store the counts of all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="*")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    found = run(fnmatch.filter(sorted(cases()), arguments.only), arguments.jobs)
    summary = summarize(found)
    print(f"{summary['cases']} cases, {summary['run']} run by onnxruntime")
    for chain, counts in summary["counts"].items():
        print(f"{chain}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    for key, value in summary["reasons"].items():
        if not key.startswith("source: not run"):
            for reason, names in value.items():
                print(f"  {key}: {reason}: {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}")
    if arguments.only == "*":
        RESULT.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    bad = [1 for outcomes in found.values() for outcome, _ in outcomes.values() if outcome in {"wrong", "crash"}]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
