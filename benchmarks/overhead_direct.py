"""The work of a recipe's run without mlopt: the same calls to the same libraries, in one process, one after the other.

python benchmarks/overhead_direct.py ORDER.json FOLDER      prints seconds by stage, as JSON

It imports nothing of mlopt: what `overhead.py` holds `mlopt optimize` against must not be made of it. It does what a
user would have to do for the same figures: data and module from the recipe's Python, `torch.onnx.export`, onnxsim,
onnxruntime's `quantize_static`, its optimized model written to a file, each model run on all evaluation samples and
scored, and all of them timed in blocks that take turns, after a warm-up, by the rules of `mlopt.measure.bench`.

Not in it is what mlopt adds: processes, cache and digests, checks after each pass, the source run twice, intervals,
operators, report, artifact, signature.
"""

from __future__ import annotations

import importlib
import json
import random
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Run = Callable[[Mapping[str, Any]], Any]
CONVOLUTIONAL = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat",
    "Reshape", "Transpose", "Sigmoid",
)  # fmt: skip
EAGER = "torch_eager"
SETTLE, MOST_CALLS, BATCHES, LEAST = 0.1, 2000, 16, 60


class Stages:
    """The seconds of each stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Book the time within."""
        began = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


def main() -> None:
    """Do what the order says, and print what it took."""
    order, folder = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    stages = Stages()
    runs, data = made(order, folder, stages)
    with stages.stage("score"):
        scores = scored(order, runs, data)
    with stages.stage("measure"):
        p50 = measured(order, runs, data["evaluation"][0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"stages": stages.seconds, "scores": scores, "p50_ms": p50, "peak_rss_bytes": peak}))


def made(order: Mapping[str, Any], folder: Path, stages: Stages) -> tuple[dict[str, Run], dict[str, Any]]:
    """Make all models; return how each is run, by the names that mlopt gives candidates, and the data."""
    if "recipe" not in order:
        with np.load(order["data"]) as arrays:
            fed = {name: arrays[name] for name in arrays.files}
        return of_file(order, Path(order["model"]), folder, stages), {"evaluation": (fed, None)}
    sys.path.insert(0, str(Path(order["recipe"]).parent))
    with stages.stage("imports"):
        recipe = importlib.import_module(Path(order["recipe"]).stem)
    with stages.stage("data"):
        data = {role: labelled(getattr(recipe, role)()) for role in ("evaluation", "calibration")}
    with stages.stage("source"):
        module = recipe.build()
        if order["trains"]:
            recipe.train(module)
        module.eval()
    with stages.stage("export"):
        exported(order, module, data["evaluation"][0], folder / "exported.onnx")
    rest = of_file(order, folder / "exported.onnx", folder, stages, data["calibration"][0])
    return {EAGER: eager(module, order), **rest}, data


def of_file(
    order: Mapping[str, Any], path: Path, folder: Path, stages: Stages, calibration: Mapping[str, Any] | None = None
) -> dict[str, Run]:
    """Simplify, quantize and fuse an ONNX file; return how each result is run."""
    with stages.stage("simplify"):
        simplified(path, folder / "simplified.onnx")
    with stages.stage("quantize"):
        quantized(order, calibration, folder / "simplified.onnx", folder / "quantized.onnx")
    with stages.stage("fuse"):
        fused(order, folder / "quantized.onnx", folder / "fused.onnx")
    with stages.stage("open"):
        names = {
            "onnx_fp32": path, "onnx_fp32 again": path, "simplified": folder / "simplified.onnx",
            "quantized": folder / "quantized.onnx", "optimized": folder / "fused.onnx",
        }  # fmt: skip
        return {name: session(file, order) for name, file in names.items()}


def labelled(given: Any) -> tuple[dict[str, Any], Any]:
    """Return inputs and labels of what the recipe's function returns."""
    return given if isinstance(given, tuple) else (given, None)


def exported(order: Mapping[str, Any], module: Any, samples: Mapping[str, Any], path: Path) -> None:
    """Export with the axes that the recipe names left free; outputs have names that no value inside has."""
    import torch

    names = list(order["inputs"])
    examples = tuple(torch.from_numpy(samples[name][:2].copy()) for name in names)
    free = tuple({axis: name for axis, name in enumerate(order["inputs"][each]) if isinstance(name, str)}
                 for each in names)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, examples, dynamo=True, opset_version=20, verbose=False, dynamic_shapes=free, input_names=names,
            output_names=[f"result_{number}" for number in range(len(order["outputs"]))],
        )  # fmt: skip
    program.save(str(path), external_data=False)


def simplified(path: Path, out: Path) -> None:
    """Let onnxsim write the simplified model."""
    import onnxsim

    skipped = ["fuse_matmul_add_bias_into_gemm_batched"]  # as mlopt does, for what comes out to be alike
    onnxsim.simplify(str(path), output_path=str(out), skipped_optimizers=skipped)


def quantized(order: Mapping[str, Any], samples: Mapping[str, Any] | None, path: Path, out: Path) -> None:
    """Quantize: static, unsigned activations and signed weights, by the range of each tensor; dynamic without data."""
    from onnxruntime import quantization

    if samples is None:
        large = path.with_name(f"{path.name}.data").exists()
        quantization.quantize_dynamic(str(path), str(out), per_channel=True, use_external_data_format=large)
        return
    limit = order["limit"] or len(next(iter(samples.values())))
    rows = np.unique(np.linspace(0, len(next(iter(samples.values()))) - 1, limit).astype(int))
    feeds = iter([{name: array[row : row + 1] for name, array in samples.items()} for row in rows])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        def get_next(self) -> Any:
            return next(feeds, None)

    quantization.quantize_static(
        str(path), str(out), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        op_types_to_quantize=list(CONVOLUTIONAL if order["convolutional"] else ("MatMul", "Gemm")),
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip


def fused(order: Mapping[str, Any], path: Path, out: Path) -> None:
    """Let onnxruntime write what it makes of the model."""
    import onnxruntime

    options = session_options(order)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(out)
    if path.with_name(f"{path.name}.data").exists():
        prefix = "session.optimized_model_external_initializers"
        options.add_session_config_entry(f"{prefix}_file_name", f"{out.name}.data")
        options.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def session_options(order: Mapping[str, Any]) -> Any:
    """Return options with the recipe's threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = order["threads"], 3
    return options


def session(path: Path, order: Mapping[str, Any]) -> Run:
    """Return what runs an ONNX file."""
    import onnxruntime

    opened = onnxruntime.InferenceSession(str(path), session_options(order), providers=["CPUExecutionProvider"])
    return lambda feeds: opened.run(None, feeds)


def eager(module: Any, order: Mapping[str, Any]) -> Run:
    """Return what runs the module as it is."""
    import torch

    torch.set_num_threads(order["threads"])

    def run(feeds: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return [module(*(torch.from_numpy(feeds[name]) for name in order["inputs"])).numpy()]

    return run


def batches(samples: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """Yield all samples in batches."""
    for start in range(0, len(next(iter(samples.values()))), size):
        yield {name: np.ascontiguousarray(array[start : start + size]) for name, array in samples.items()}


def scored(order: Mapping[str, Any], runs: Mapping[str, Run], data: Mapping[str, Any]) -> dict[str, list[float]]:
    """Run each model on all evaluation samples; return its metric and its cosine to the first one."""
    samples, labels = data["evaluation"]
    found: dict[str, list[float]] = {}
    reference: Any = None
    for name in dict.fromkeys(each for each in runs if not each.endswith("again")):
        outputs = np.concatenate([runs[name](feed)[0] for feed in batches(samples, order["batch_size"])])
        reference = outputs if reference is None else reference
        flat, first = (each.reshape(len(each), -1).astype(np.float64) for each in (outputs, reference))
        norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(first, axis=1)
        found[name] = [metric(order, outputs, labels, reference), float(((flat * first).sum(1) / norms).mean())]
    return found


def metric(order: Mapping[str, Any], outputs: Any, labels: Any, reference: Any) -> float:
    """Return what the recipe's metric says."""
    if ":" in (named := order["metric"]):
        file, _, function = named.partition(":")
        own = getattr(importlib.import_module(Path(file).stem), function)
        return float(np.mean(own({"y": outputs}, labels, {"y": reference})))
    wanted = labels if named == "accuracy" else reference.argmax(1)
    return float((outputs.argmax(1) == wanted).mean())


def measured(order: Mapping[str, Any], runs: Mapping[str, Run], samples: Mapping[str, Any]) -> dict[str, float]:
    """Time the models in blocks, a random order there and back in each round; return each one's median.

    PyTorch's turn comes first and apart: its threads and onnxruntime's, in one process, slow each other beyond measure.
    """
    some = [feed for feed, _ in zip(batches(samples, order["batch_size"]), range(BATCHES), strict=False)]
    rounds, chosen = order["rounds"], random.Random(0)
    seconds, least = order["seconds"] / (2 * rounds), -(-LEAST // (2 * rounds))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for group in ([name for name in runs if name == EAGER], [name for name in runs if name != EAGER]):
        for name in group:
            warm_up(runs[name], some)
        for _ in range(rounds):
            forward = chosen.sample(group, len(group))
            for name in (*forward, *reversed(forward)):
                block(runs[name], some, min(SETTLE, seconds), 1)
                times[name] += block(runs[name], some, seconds, least)
    return {name: median(each) for name, each in times.items()}


def warm_up(run: Run, feeds: Sequence[Mapping[str, Any]]) -> None:
    """Run until it no longer gets faster, for at most three seconds."""
    deadline, before, steady = time.perf_counter() + 3.0, float("inf"), 0
    for _ in range(20):
        now = median(block(run, feeds, 0.1, 3))
        steady = steady + 1 if now > 0.97 * before else 0
        if steady == 2 or time.perf_counter() > deadline:
            return
        before = now


def block(run: Run, feeds: Sequence[Mapping[str, Any]], seconds: float, least: int) -> list[float]:
    """Return the milliseconds of each inference in a block."""
    end, times = time.perf_counter() + seconds, list[float]()
    for feed in cycle(feeds):
        if len(times) >= least and (time.perf_counter() >= end or len(times) >= MOST_CALLS):
            return times
        began = time.perf_counter()
        run(feed)
        times.append(1e3 * (time.perf_counter() - began))
    return times


if __name__ == "__main__":
    main()
