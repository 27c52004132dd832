"""Does the gate `speedup.median >= 0.97` tell 10 % more work from none on this machine, quiet and disturbed?

python benchmarks/gate_on_this_machine.py [--count N] [--threads N]     # 20 runs of each kind, about twelve minutes

A small network is benched against itself, and a copy of it with 10 % more work against it, each with and without
another process that keeps one core busy: four kinds of runs, by turns, each an `mlopt bench` as a CI job would run it.
The first must never fail. The second must never pass, and must fail in at least nine runs of ten. How much slower the
copy truly is, is measured first, in one long run. The result goes to benchmarks/results/gate_on_this_machine.json; the
exit code is 1 if something is not as it must be.

The models have one thread, as is wise on a shared runner: with a thread on every core each inference waits for the busy
one, so that it is the other process that is measured. `--threads 2` shows what becomes of the verdicts then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlopt.artifact.inspection import inspect_model
from mlopt.core.hardware import detect
from mlopt.results.environment import environment

GATE = "speedup.median >= 0.97"
RESULT = Path(__file__).parent / "results/gate_on_this_machine.json"
BLOCKS, CHANNELS, SIDE = 10, 32, 28
SAME, MORE = "the same", "10 % more"
VERDICTS = {0: "pass", 1: "fail", 3: "inconclusive"}


def main() -> None:
    """Run all cells by turns, so that the day's drift falls on all of them alike."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        base, more = write_models(Path(name))
        truth = long_run(base, more, options)
        print(json.dumps(truth), flush=True)
        runs: list[dict[str, Any]] = []
        for number in range(options.count):
            for busy in (False, True):
                for model, work in ((base, SAME), (more, MORE)):
                    with hog(busy):
                        found = verdict(base, model, options)
                    runs.append({"run": number + 1, "work": work, "busy_core": busy, **found})
                    print(json.dumps(runs[-1]), flush=True)
    cells = [summary(runs, work, busy=busy) for work in (SAME, MORE) for busy in (False, True)]
    for cell in cells:
        print(json.dumps(cell))
    document = {
        "gate": GATE,
        "settings": {"threads": options.threads, "time": options.time, "max_time": options.max_time},
        "environment": environment(detect()).model_dump(mode="json"),
        "truth": truth,
        "cells": cells,
        "runs": runs,
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(cell["good"] for cell in cells) else 1)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="runs of each of the four kinds")
    parser.add_argument("--threads", type=int, default=1, help="threads of each model")
    parser.add_argument("--time", type=float, default=0.5, help="seconds of measuring per model, at first")
    parser.add_argument("--max-time", type=float, default=20.0, help="the most seconds for one verdict")
    parser.add_argument("--truth-time", type=float, default=10.0, help="seconds per model of the one long run")
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def write_models(folder: Path) -> tuple[Path, Path]:
    """Write the network, ten equal convolutions in a row, and its copy in which the fifth is run twice."""
    random = np.random.default_rng(0)
    shape = (CHANNELS, CHANNELS, 3, 3)
    scale = np.sqrt(2 / (9 * CHANNELS))
    held = [numpy_helper.from_array((scale * random.standard_normal(shape)).astype(np.float32), f"w{n}")
            for n in range(BLOCKS)]  # fmt: skip
    layers = list(range(BLOCKS))
    more = sorted([*layers, BLOCKS // 2])
    return network(folder / "base.onnx", layers, held), network(folder / "more.onnx", more, held)


def network(path: Path, order: list[int], held: list[onnx.TensorProto]) -> Path:
    """Write a network whose layers have these weights, in this order."""
    nodes = []
    for number, weight in enumerate(order):
        before = f"h{number}" if number else "x"
        nodes.append(helper.make_node("Conv", [before, f"w{weight}"], [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"h{number + 1}"]))
    size = [1, CHANNELS, SIDE, SIDE]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in ("x", f"h{len(order)}")]
    graph = helper.make_graph(nodes, path.stem, ends[:1], ends[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def long_run(base: Path, more: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure with many more samples, on the machine as it is, the ratio that the gate is asked about."""
    found, _ = bench(base, more, options.threads, "--time", str(options.truth_time))
    speedup = found["speedup"]
    return {
        "multiply_adds": [inspect_model(model).macs for model in (base, more)],
        "p50_ms": [found[part]["latency_ms"]["p50"] for part in ("baseline", "final")],
        "true_speedup": {key: speedup[key] for key in ("median", "ci95", "control")},
    }


def verdict(base: Path, model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ask once, as a CI job would."""
    limits = ["--time", str(options.time), "--max-time", str(options.max_time), "--gate", GATE]
    started = time.monotonic()
    found, code = bench(base, model, options.threads, *limits)
    (gate,) = found["gates"]
    if VERDICTS[code] != gate["verdict"] or gate["verdict"] != found["verdict"]:
        raise SystemExit(f"exit code {code}, but the gate says {gate['verdict']} and the report {found['verdict']}")
    return {
        "verdict": gate["verdict"],
        "speedup": round(gate["value"], 4),
        "ci95": [round(end, 4) for end in gate["ci95"]],
        "control": [round(end, 4) for end in found["speedup"]["control"]],
        "looks": found["sampling"]["looks"],
        "rounds": found["sampling"]["rounds"],
        "seconds": round(time.monotonic() - started, 1),
    }


def bench(base: Path, model: Path, threads: int, *more: str) -> tuple[dict[str, Any], int]:
    """Run `mlopt bench`; return its report and exit code, of which 0, 1 and 3 are verdicts and others are faults."""
    command = [sys.executable, "-m", "mlopt", "bench", str(model), "--against", str(base), "--json"]
    done = subprocess.run(
        [*command, "--threads", str(threads), *more], capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode not in VERDICTS:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), done.returncode


@contextmanager
def hog(wanted: bool) -> Iterator[None]:
    """Keep the last of this process's cores busy, if wanted, with a loop that is pinned to it."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        try:
            yield
        finally:
            process.kill()


def summary(runs: list[dict[str, Any]], work: str, *, busy: bool) -> dict[str, Any]:
    """Count the verdicts of one kind of run, and say whether they are what they must be."""
    found = Counter(run["verdict"] for run in runs if (run["work"], run["busy_core"]) == (work, busy))
    counts = {verdict: found[verdict] for verdict in VERDICTS.values()}
    caught = counts["pass"] == 0 and counts["fail"] >= 0.9 * found.total()
    good = counts["fail"] == 0 if work == SAME else caught
    return {"work": work, "busy_core": busy, **counts, "good": good}


if __name__ == "__main__":
    main()
