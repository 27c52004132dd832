"""Does a model above 2 GB go through the passes in less than twice its size?

python benchmarks/large_model.py [--width N] [--layers N]      # 2.3 GB of weights: some minutes, 7 GB of TMPDIR

Makes a stack of matrix products with external data in a temporary folder and runs simplify, fuse, quantize (dynamic)
and quantize (8-bit weights) on it, each in a process of its own that also checks the result as mlopt does after every
pass. The peak is VmHWM of that process: its own memory and the pages of files that it has mapped. The result goes to
benchmarks/results/large_model.json; the exit code is 1 if a step took more than twice the model's size.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results/large_model.json"
MOST = 2.0
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "simplify": ("simplify", {}),
    "fuse": ("fuse", {}),
    "quantize, dynamic": ("quantize", {"mode": "dynamic"}),
    "quantize, weights only": ("quantize", {"mode": "weight_only", "bits": 8}),
}


def main() -> None:
    """Make the model, run each step on it, store the figures and judge them."""
    options = arguments()
    if options.step:
        print(json.dumps(run(options.folder, options.step, options.external_above)))
        return
    with tempfile.TemporaryDirectory(prefix="mlopt-large-") as name:
        make(Path(name), options.width, options.layers)
        rows = [in_a_process_of_its_own(step, Path(name), options) for step in STEPS]
    document = {
        "layers": options.layers,
        "width": options.width,
        "limit": f"peak RSS at most {MOST} times the model's size",
        "environment": described(),
        "steps": rows,
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(row["peak_to_size"] <= MOST for row in rows) else 1)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4096, help="rows and columns of each weight")
    parser.add_argument("--layers", type=int, default=34)
    parser.add_argument("--external-above", type=int, help="bytes above which a model counts as large")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--step", choices=STEPS, help="run one step on the model in --folder, and print its figures")
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


def make(folder: Path, width: int, layers: int) -> None:
    """Write MatMul and Tanh, again and again; the weights are rotations of one normal matrix, each different."""
    from onnx import TensorProto, helper, save

    weight = np.random.default_rng(0).standard_normal((width, width), dtype=np.float32) / np.float32(width**0.5)
    nodes, weights, last = [], [], "x"
    with (folder / "model.onnx.data").open("wb") as stream:
        for layer in range(layers):
            np.roll(weight, layer, axis=0).tofile(stream)
            tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=weight.shape)
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": "model.onnx.data", "offset": layer * weight.nbytes, "length": weight.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            weights.append(tensor)
            nodes.append(helper.make_node("MatMul", [last, tensor.name], [f"y{layer}"], name=f"product{layer}"))
            nodes.append(helper.make_node("Tanh", [f"y{layer}"], [f"z{layer}"], name=f"tanh{layer}"))
            last = f"z{layer}"
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width]) for name in ("x", last)]
    graph = helper.make_graph(nodes, "stack", ports[:1], ports[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "model.onnx")


def in_a_process_of_its_own(step: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run a step, and return its figures."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    if options.external_above is not None:
        command += ["--external-above", str(options.external_above)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps(row))
    return row


def run(folder: Path, step: str, external_above: int | None) -> dict[str, Any]:
    """Run one step as the pipeline does, and return its peak RSS beside the sizes."""
    from mlopt.data.dataset import Samples, store
    from mlopt.formats.onnx import graph as onnx_graph

    if external_above is not None:
        onnx_graph.EXTERNAL_DATA_ABOVE = external_above  # before anything else imports it
    from mlopt.core.hardware import detect
    from mlopt.core.target import Objective, Target
    from mlopt.formats.onnx.file import open_onnx
    from mlopt.passes.base import Context
    from mlopt.passes.table import table
    from mlopt.run.step import execute
    from mlopt.runtimes.base import RuntimeOptions
    from mlopt.runtimes.table import deploy

    model = open_onnx(folder / "model.onnx")
    width = model.inputs[0].shape[1]
    values = np.random.default_rng(1).standard_normal((4, int(width)), dtype=np.float32)
    for name in ("samples", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    samples = store(Samples({"x": values}), folder / "samples", "random")
    context = Context(folder / "out", Target(threads=2), Objective.SIZE, detect(), calibration=samples, samples=samples)
    name, settings = STEPS[step]
    started = time.monotonic()
    common = RuntimeOptions(threads=2)
    entry = execute(table()[name], deploy(model, common), table()[name].config(**settings), context, common)
    if "refused" in entry:
        raise SystemExit(f"{step}: {entry['refused']}")
    return {
        "step": step,
        "size_bytes": model.size_bytes,
        "result_bytes": open_onnx(folder / "out" / entry["path"]).size_bytes,
        "peak_rss_bytes": entry["peak_rss_bytes"],
        "peak_to_size": round(entry["peak_rss_bytes"] / model.size_bytes, 3),
        "seconds": round(time.monotonic() - started, 1),
        "cosine": entry["parity"]["cosine"],
    }


def described() -> dict[str, Any]:
    """Return the machine and the versions."""
    from mlopt.core.hardware import detect
    from mlopt.results.environment import environment

    return environment(detect()).model_dump(mode="json")


if __name__ == "__main__":
    main()
