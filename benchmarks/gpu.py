"""Every runtime that is installed, on the GPU that is here: efficientnet_lite0, minilm and fashion_resnet.

python benchmarks/gpu.py [--seconds N] [--output FILE]        or, from nothing: make test-gpu

Each model is measured in one interleaved run, in a process for each candidate: PyTorch as it is and under
torch.compile, ONNX Runtime with CUDA and with TensorRT, and engines of TensorRT or TensorRT-RTX, each in FP32, in FP16
and, of engines, in INT8. What is not installed, or does not run, stands there with its reason. Times are of whole
inferences: feeds go to the GPU and outputs come back. Inputs are random, since latency is what is measured. One JSON
holds all of it; the exit code is 2 without a GPU, 1 if nothing could be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from precision_figures import RESULTS, store

from mlopt.core.errors import MloptError
from mlopt.core.hardware import Hardware, detect
from mlopt.core.packages import versions
from mlopt.core.target import Objective, Target
from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Dataset, Samples
from mlopt.data.dataset import store as stored
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.tensorrt import open_engines, read
from mlopt.formats.torch.source import materialize
from mlopt.measure import statistics
from mlopt.measure.candidate import Candidate, Run
from mlopt.measure.compare import compare
from mlopt.measure.schedule import Schedule
from mlopt.passes import export, fp16, quantize, simplify, tensorrt
from mlopt.passes.base import Context, PassResult
from mlopt.results.environment import environment, now
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.tensorrt import TensorRtOptions
from mlopt.runtimes.tensorrt_library import DISTRIBUTIONS, LIBRARIES, TENSORRT_RTX, chosen
from mlopt.runtimes.torch import TorchOptions

RECIPES = Path(__file__).parents[1] / "recipes"
BATCH, SAMPLES, MAX_TIME = 1, 8, 75.0
BASE, AGAIN = "onnxruntime cuda fp32", "onnxruntime cuda fp32 (again)"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Subject:
    """A model and the random inputs that it is timed on."""

    inputs: tuple[TensorSpec, ...]
    samples: Callable[[np.random.Generator], Mapping[str, Array]]


def pictures(*shape: int) -> Subject:
    """Return a model of pictures [batch, *shape]."""
    return Subject(
        (TensorSpec("image", "float32", ("batch", *shape)),),
        lambda random: {"image": random.standard_normal((SAMPLES, *shape), np.float32)},
    )


SUBJECTS = {
    "efficientnet_lite0": pictures(3, 224, 224),
    "minilm": Subject(
        tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in ("input_ids", "attention_mask")),
        lambda random: {
            "input_ids": random.integers(1000, 20_000, (SAMPLES, 64)),
            "attention_mask": np.ones((SAMPLES, 64), np.int64),
        },
    ),
    "fashion_resnet": pictures(1, 28, 28),
}  # fmt: skip


def main() -> None:
    """Measure each model, and store what was found."""
    seconds, output = arguments()
    hardware = detect()
    if hardware.gpu is None:
        print("no GPU answers: libcuda.so.1 is not there, cuInit fails, or there is no device", file=sys.stderr)
        sys.exit(2)
    document: dict[str, Any] = {
        "environment": environment(hardware).model_dump(mode="json"), "created": now(), "batch_size": BATCH,
        "versions": versions(("torch", "onnxruntime", "cuda-bindings", *DISTRIBUTIONS)), "cases": {},
    }  # fmt: skip
    for name, subject in SUBJECTS.items():
        with tempfile.TemporaryDirectory(prefix="mlopt-gpu-") as folder:
            document["cases"][name] = case = measured(name, subject, hardware, seconds, Path(folder))
        print(json.dumps({name: case}), flush=True)
        store(document, output)
    sys.exit(0 if all(case["candidates"] for case in document["cases"].values()) else 1)


def arguments() -> tuple[float, Path]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.5, help="that each candidate is timed")
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu.json")
    options = parser.parse_args()
    return options.seconds, options.output


def measured(name: str, subject: Subject, hardware: Hardware, seconds: float, folder: Path) -> dict[str, Any]:
    """Return what each candidate took, and why others are not among them."""
    samples = stored(Samples(subject.samples(np.random.default_rng(0))), folder / "data", "random")
    absent: dict[str, str] = {}
    candidates = dict(made(name, subject, samples, Work(hardware, folder, absent)))
    candidates |= {AGAIN: candidates[BASE]} if BASE in candidates else {}
    schedule = Schedule(seconds, 7, MAX_TIME, looks=1)
    run = compare(
        [Candidate(label, each, BATCH) for label, each in candidates.items()], samples, schedule,
        copies=(BASE, AGAIN), undecided=None, notify=lambda _text, _share: None,
    )  # fmt: skip
    found = dict(figures(run))
    pairs = ((f"{library} int8", f"{library} fp16") for library in LIBRARIES)
    slower = [
        f"{int8} is slower than {half}" for int8, half in pairs
        if {int8, half} <= set(found) and found[int8]["p50_ms"] > found[half]["p50_ms"]
    ]  # fmt: skip
    return {
        "candidates": found, "lost": {**absent, **run.lost}, "remarks": slower, "notes": list(run.notes),
    }  # fmt: skip


def figures(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each took: the median in ms, and how many times as fast as ONNX Runtime with CUDA it was."""
    for label, each in run.measured.items():
        times = sorted(time for block in each.blocks for time in block)
        base = run.measured.get(BASE)
        ratio = None if base is None else statistics.speedup(base.blocks, each.blocks)
        yield label, {
            "p50_ms": times[len(times) // 2], "inferences": len(times), "load_ms": each.cold_start.load_ms,
            "first_ms": each.cold_start.first_ms,
            "speedup": None if ratio is None else {"median": ratio[0], "ci95": list(ratio[1:])},
        }  # fmt: skip


@dataclass
class Work:
    """Where forms of a model are made, and why some could not be."""

    hardware: Hardware
    folder: Path
    absent: dict[str, str]

    def by(self, pass_: Any, model: Model, samples: Dataset, **config: Any) -> PassResult | None:
        """Run a pass; None, with the reason in ``absent``, if it comes to nothing."""
        label = f"{pass_.name} {config}"
        out = self.folder / f"{len(list(self.folder.iterdir()))}-{pass_.name}"
        out.mkdir()
        context = Context(
            out=out, target=Target(threads=self.hardware.cores), objective=Objective.LATENCY, hardware=self.hardware,
            calibration=samples, samples=samples, inputs=model.inputs,
        )  # fmt: skip
        parsed = pass_.config(**config)
        try:
            reason = pass_.refuse(model, parsed, context)
            done = None if reason is not None else pass_.run(model, parsed, context)
        except MloptError as error:
            reason, done = error.brief, None
        if not isinstance(done, PassResult):
            self.absent[label] = reason or getattr(done, "reason", "it refused")
            return None
        return done


def made(name: str, subject: Subject, samples: Dataset, work: Work) -> Iterator[tuple[str, Deployable]]:
    """Yield every candidate of a model, by what it is called."""
    threads, device = work.hardware.cores, "cuda"
    out = work.folder / "source"
    out.mkdir()
    sys.path.insert(0, str(RECIPES))
    source = materialize(CodeReference(RECIPES / f"{name}.py", "build"), None, subject.inputs, (), out)
    for compiled in (False, True):
        options = TorchOptions(threads=threads, device=device, compile=compiled)
        yield f"torch {'compile' if compiled else 'eager'} fp32", Deployable(source, "torch", options)
    exported = work.by(export.PASS, source, samples)
    plain = exported and work.by(simplify.PASS, open_onnx(exported.path), samples)
    if not plain:
        return
    forms = {"fp32": open_onnx(plain.path)}
    for label, pass_, config in (
        ("fp16", fp16.PASS, {"placement": "tensorrt"}),
        ("int8", quantize.PASS, {"mode": "static", "placement": "tensorrt"}),
    ):
        if done := work.by(pass_, forms["fp32"], samples, **config):
            forms[label] = open_onnx(done.path)
    for label, model in forms.items():
        for provider in ("default", "tensorrt"):
            if (label, provider) != ("int8", "default"):  # CUDA has no kernels for it
                told = "cuda" if provider == "default" else "tensorrt"
                options = OnnxRuntimeOptions(threads=threads, device=device, provider=provider)
                yield f"onnxruntime {told} {label}", Deployable(model, "onnxruntime", options)
        if done := work.by(tensorrt.PASS, model, samples, targets=targets(work.hardware)):
            model = open_engines(done.path)  # noqa: PLW2901 - the same with engines beside it
            library = read(model.path).backend
            for graph in (False, True):
                options = TensorRtOptions(threads=threads, device=device, cuda_graph=graph)
                yield f"{library} {label}{' graph' if graph else ''}", Deployable(model, "tensorrt", options)


def targets(hardware: Hardware) -> tuple[str, ...]:
    """Return what TensorRT-RTX is to build for: the GPU that is here; TensorRT needs no telling."""
    gpu = hardware.gpu
    if gpu is None or chosen("auto", gpu) is not TENSORRT_RTX:
        return ()
    return (f"sm{gpu.compute_capability.replace('.', '')}",)


if __name__ == "__main__":
    main()
