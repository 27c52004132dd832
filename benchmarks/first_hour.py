"""What a newcomer waits for: the help, a small model of one's own, and all of it from `git clone` on.

python benchmarks/first_hour.py [--output FILE] [--only help,model,clone]      on a quiet machine

- help: CPU seconds of `mlopt --help`, the median of five processes; at most 0.30.
- model: seconds of `mlopt optimize model.onnx --data x.npz` on a network of 22 kB with 400 samples and an empty cache,
  the median of three, with what each phase took; at most 15.
- clone: seconds from `git clone` of this repository over an environment of its own to the first optimized model, in
  ONNX; at most 360. Packages come from the index of this machine.

The exit code is 1 if one of them takes longer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from precision_figures import RESULTS, store

from mlopt.core.hardware import detect
from mlopt.results.environment import environment, now

ROOT = Path(__file__).parents[1]
MOST = {"help": 0.30, "model": 15.0, "clone": 360.0}
"""Seconds; of CPU time for the help."""
MODEL = """
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
random = np.random.default_rng(0)
sizes = (32, 64, 48, 10)
names = [f"h{number}" for number in range(len(sizes))]
nodes, held = [], []
for number, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
    weight = random.standard_normal((rows, columns)) / rows**0.5
    held += [numpy_helper.from_array(weight.astype(np.float32), f"w{number}"),
             numpy_helper.from_array(np.zeros(columns, np.float32), f"b{number}")]
    fed = [f"r{number}" if number else "x", f"w{number}", f"b{number}"]
    nodes.append(helper.make_node("Gemm", fed, [f"g{number + 1}"]))
    nodes.append(helper.make_node("Relu", [f"g{number + 1}"], [f"r{number + 1}"]))
nodes[-1] = helper.make_node("Softmax", [f"g{len(sizes) - 1}"], ["y"])
graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", sizes[0]])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", sizes[-1]])], held)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "model.onnx")
np.savez("x.npz", x=random.standard_normal((400, sizes[0])).astype(np.float32))
"""


def main() -> None:
    """Measure what is asked for, and store it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "first_hour.json")
    parser.add_argument("--only", default=",".join(MOST), help="some of them")
    options = parser.parse_args()
    document: dict[str, Any] = {
        "environment": environment(detect()).model_dump(mode="json"), "created": now(), "most": MOST, "took": {},
    }  # fmt: skip
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix=f"mlopt-{name}-") as folder:
            found = PARTS[name](Path(folder))
        document["took"][name] = found
        print(json.dumps({name: found}), flush=True)
    store(document, options.output)
    sys.exit(any(found["seconds"] > MOST[name] for name, found in document["took"].items()))


def of_help(folder: Path) -> dict[str, Any]:
    """Return the CPU seconds of the help, whose lines must be whole."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = run([sys.executable, "-m", "mlopt", "--help"], folder, {"COLUMNS": "100"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "…" not in shown, shown
        assert max(map(len, shown.splitlines())) <= 100, shown
    return {"seconds": statistics.median(spent), "each": spent}


def of_model(folder: Path) -> dict[str, Any]:
    """Return the seconds of a small model, and those of its phases in the median run."""
    run([sys.executable, "-c", MODEL], folder)
    runs = sorted((optimized(sys.executable, folder, f"out{number}") for number in range(3)), key=lambda each: each[0])
    seconds, report = runs[1]
    return {
        "seconds": seconds, "each": [each for each, _ in runs], "phases": report["took"], "verdict": report["verdict"],
        "bytes": (folder / "model.onnx").stat().st_size,
    }  # fmt: skip


def of_clone(folder: Path) -> dict[str, Any]:
    """Return the seconds from a clone on, part by part."""
    parts: dict[str, float] = {}
    python = str(folder / "mlopt" / ".venv" / "bin" / "python")
    bare = {"PYTHONPATH": ""}
    timed(parts, "clone", lambda: run(["git", "clone", "--quiet", str(ROOT), "mlopt"], folder))
    timed(parts, "environment", lambda: run([sys.executable, "-m", "venv", "mlopt/.venv"], folder))
    install = [python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[cpu]"]
    timed(parts, "install", lambda: run(install, folder / "mlopt", bare))
    run([python, "-c", MODEL], folder, bare)
    timed(parts, "optimize", lambda: optimized(python, folder, "out", bare))
    return {"seconds": sum(parts.values()), "parts": parts}


def optimized(python: str, folder: Path, out: str, variables: Mapping[str, str] = {}) -> tuple[float, dict[str, Any]]:
    """Optimize the model with an empty cache; return the seconds and the report."""
    words = [python, "-m", "mlopt", "optimize", "model.onnx", "--data", "x.npz", "-o", out, "--no-sign"]
    began = time.monotonic()
    run(words, folder, {**variables, "MLOPT_CACHE": str(folder / f"cache-{out}")}, codes=(0, 1, 3))
    return time.monotonic() - began, json.loads((folder / out / "report.json").read_text(encoding="utf-8"))


def timed(parts: dict[str, float], name: str, work: Callable[[], object]) -> None:
    """Do it, and note how long that took."""
    began = time.monotonic()
    work()
    parts[name] = time.monotonic() - began


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str] = {}, codes: Sequence[int] = (0,)) -> str:
    """Run a command and return what it printed; raises ``RuntimeError`` with that if it fails."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode not in codes:
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


PARTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {"help": of_help, "model": of_model, "clone": of_clone}

if __name__ == "__main__":
    main()
