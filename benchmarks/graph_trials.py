"""One random graph through one chain of passes, as the pipeline runs them, and an opinion on what came out.

Lives in a worker process, since what is tried may crash. The samples on which mlopt judges are others than those on
which it is judged here, and here each output is judged by itself: by rounding, if the passes are lossless, else by its
direction and its size, with some room beyond the default gates, since other samples have other errors.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from graph_generator import Graph, generate

from mlopt.core.errors import MeasureError, MloptError, ModelError
from mlopt.core.hardware import detect
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Array, Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.benchmarker import Benchmarker
from mlopt.measure.parity import fidelity
from mlopt.measure.tolerance import within_tolerance
from mlopt.passes.base import Context
from mlopt.passes.table import table
from mlopt.recipe.generate import _gates  # the gates of a recipe that nobody wrote
from mlopt.run.step import execute
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.onnxruntime import deployed
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import deploy, open_session

SAMPLES = 32
BATCHES = (48, 1)
_COSINE, _RELATIVE = 0.97, 0.3
"""What a lossy result that passed the gates must keep on other samples."""
_FEW, _OFF, _TYPICAL = 0.1, 0.5, 0.25
"""The part of the samples that may be off: 32 that are all right leave it at 9 % (95 % confidence), and near ties fall
to either side of a comparison. What counts as off where a graph compares is beyond the noise that the gates allow (a
cosine of 0.99 is an error of 14 %, on average), in a sample of at least a quarter of the typical size."""
_JUMPS = frozenset(
    ("ArgMax", "ArgMin", "TopK", "OneHot", "Greater", "Less", "ThresholdedRelu", "Mod", "If", "Where", "Not", "Cast")
)
Steps = tuple[tuple[str, dict[str, Any]], ...]
CHAINS: dict[str, Steps] = {
    "simplify": (("simplify", {}),),
    "fuse": (("fuse", {}),),
    "fuse_basic": (("fuse", {"level": "basic"}),),
    "fuse_all": (("fuse", {"level": "all", "this_machine": True}),),
    "static": (("quantize", {"mode": "static"}),),
    "static_tensorrt": (("quantize", {"mode": "static", "placement": "tensorrt"}),),
    "dynamic": (("quantize", {"mode": "dynamic"}),),
    "weight_only_8": (("quantize", {"mode": "weight_only", "bits": 8, "block_size": 16}),),
    "weight_only_4": (("quantize", {"mode": "weight_only", "bits": 4, "block_size": 16}),),
    "fp16": (("fp16", {"seconds": 5}),),
    "simplify_static_fuse": (("simplify", {}), ("quantize", {"mode": "static"}), ("fuse", {})),
}
COMMON = RuntimeOptions(threads=1)


@dataclass(frozen=True)
class Verdict:
    """What became of a chain: ``right``, ``refused``, ``error``, ``gated``, ``wrong`` or ``crash``, and why."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True)
class Subject:
    """A graph on disk with data, and what it answers."""

    graph: Graph
    model: Model
    evaluation: Dataset
    calibration: Dataset
    fresh: list[dict[str, Array]]
    expected: list[dict[str, Array]]
    judged: dict[str, Array]
    """Its answers to the evaluation samples."""


class Trials:
    """What the worker holds: the graph that is at hand. Methods are called from the parent."""

    def __init__(self) -> None:
        self._folder = Path()
        self._subject: Subject | None = None

    def begin(self, seed: int) -> str | None:
        """Make the graph of a seed; returns why it is no witness, if so."""
        shutil.rmtree(self._folder, ignore_errors=True) if self._folder.name else None
        self._folder = Path(tempfile.mkdtemp(prefix="mlopt-graphs-"))
        self._subject = None
        made = prepare(generate(seed), self._folder)
        if isinstance(made, str):
            return made
        self._subject = made
        return None

    def run(self, chain: str) -> Verdict:
        """Try one chain on the graph."""
        assert self._subject is not None
        return attempt(self._subject, CHAINS[chain], Path(tempfile.mkdtemp(dir=self._folder)))

    def end(self) -> None:
        """Remove what is on disk."""
        shutil.rmtree(self._folder, ignore_errors=True)


def prepare(graph: Graph, folder: Path) -> Subject | str:
    """Write graph and data, and let onnxruntime answer with its optimizations on and off; they must agree."""
    path = folder / "model.onnx"
    onnx.checker.check_model(graph.model)
    onnx.save(graph.model, path)
    model, random = open_onnx(path), np.random.default_rng(graph.seed + 1_000_000)
    fixed = next(iter(graph.inputs.values()))[0]
    evaluation, calibration = (_samples(graph, random, folder / name) for name in ("evaluation", "calibration"))
    rows = [fixed] * (BATCHES[0] // fixed) if isinstance(fixed, int) else BATCHES
    fresh = [graph.feeds(random, int(size)) for size in rows]
    expected, other = (_answers(model, fresh, level) for level in ("none", "all"))
    for one, two in zip(expected, other, strict=True):
        if any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in one.values()):
            return "its outputs are not finite"
        try:
            if within_tolerance(one, two) is not None:
                return "onnxruntime disagrees with itself: optimizations on and off give different results"
        except MeasureError:
            return "onnxruntime disagrees with itself: optimizations on and off give different shapes"
    judged = _on(model, evaluation, fixed)
    return Subject(graph, model, evaluation, calibration, fresh, expected, judged)


def _samples(graph: Graph, random: np.random.Generator, folder: Path) -> Dataset:
    fixed = next(iter(graph.inputs.values()))[0]
    size = fixed if isinstance(fixed, int) else SAMPLES
    parts = [graph.feeds(random, size) for _ in range(SAMPLES // size)]
    return store(
        Samples({name: np.concatenate([part[name] for part in parts]) for name in graph.inputs}), folder, "random"
    )


def _answers(model: Model, feeds: list[dict[str, Array]], level: str) -> list[dict[str, Array]]:
    with open_session(deployed(model, OnnxRuntimeOptions(threads=1, graph_optimization=level))) as session:
        return [session.run(feed) for feed in feeds]


def _on(model: Model, data: Dataset, fixed: int | str) -> dict[str, Array]:
    """Answer all samples, as many at a time as the model takes."""
    size = fixed if isinstance(fixed, int) else 1
    feeds = [
        {name: np.asarray(a[at : at + size]) for name, a in data.inputs.items()} for at in range(0, data.count, size)
    ]
    parts = _answers(model, feeds, "all")
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def attempt(subject: Subject, steps: Steps, out: Path) -> Verdict:
    """Run a chain and judge it; whatever happens becomes a verdict."""
    try:
        model = subject.model
        for number, (name, config) in enumerate(steps):
            folder = out / str(number)
            folder.mkdir()
            context = Context(
                folder, Target(threads=1), Objective.SIZE, detect(), subject.calibration,
                samples=subject.evaluation, measuring=Benchmarker,
            )  # fmt: skip
            result = execute(table()[name], deploy(model, COMMON), table()[name].config(**config), context, COMMON)
            if "refused" in result:
                return Verdict("refused", f"{name}: {normal(result['refused'])}")
            model = open_onnx(folder / result["path"])
        return judge(subject, model, lossy=any(table()[name].lossy for name, _ in steps))
    except MloptError as error:
        problem = error.problems[0]
        return Verdict("error", normal(": ".join(filter(None, (problem.what, problem.got)))))
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        traceback.print_exc()
        return Verdict("crash", normal(f"{type(error).__name__}: {error}"))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def judge(subject: Subject, model: Model, *, lossy: bool) -> Verdict:
    """Hold a result against the source, with the runtime's optimizations on and off."""
    if (model.inputs, model.outputs) != (subject.model.inputs, subject.model.outputs):
        return Verdict("wrong", "the interface is another")
    if lossy and not passes(
        subject.judged, _on(model, subject.evaluation, next(iter(subject.graph.inputs.values()))[0])
    ):
        return Verdict("gated", "the default gates stop it")
    for level in ("all", "none"):
        try:
            answers = _answers(model, subject.fresh, level)
        except ModelError as error:
            return Verdict("wrong", f"optimizations {level}: {normal(error.problems[0].what)}")
        reason = unsafe(subject, answers) if lossy else inexact(subject, answers)
        if reason is not None:
            return Verdict("wrong", f"optimizations {level}: {reason}")
    return Verdict("right")


def passes(expected: Mapping[str, Array], got: Mapping[str, Array]) -> bool:
    """Whether the gates that mlopt sets by itself let it through: those on fidelity; on labels, 95 % must agree."""
    try:
        found = fidelity(expected, got)
    except MeasureError:
        return False
    for gate in _gates("fidelity"):
        name = gate["metric"].removeprefix("fidelity.")
        if name == gate["metric"]:
            continue
        value = getattr(found, name)
        if value is not None and not gate.get("min", -np.inf) <= value <= gate.get("max", np.inf):
            return False
    return True


def inexact(subject: Subject, answers: list[dict[str, Array]]) -> str | None:
    """Return where a lossless result is more than rounding away, in words."""
    try:
        found = (within_tolerance(*pair) for pair in zip(subject.expected, answers, strict=True))
        return next((normal(reason) for reason in found if reason is not None), None)
    except MeasureError as error:
        return normal(error.problems[0].what)


def unsafe(subject: Subject, answers: list[dict[str, Array]]) -> str | None:
    """Return the fault of a lossy result that the gates let through, in words.

    Whole outputs must keep direction and size, but for the few samples that 32 others, all right, do not rule out.
    Where a graph compares values, near ties fall to either side, and few samples may be off by any amount; integers are
    left to the gates, which saw them.
    """
    jumps = not _JUMPS.isdisjoint(node.op_type for node in onnx_graph.nodes(subject.graph.model.graph))
    for name, first in subject.expected[0].items():
        if any(
            a[name].shape != b[name].shape or a[name].dtype != b[name].dtype
            for a, b in zip(subject.expected, answers, strict=True)
        ):
            return "another shape or dtype"
        if first.dtype.kind != "f":
            continue
        a, b = (
            np.concatenate([x[name].reshape(len(x[name]), -1) for x in each]) for each in (subject.expected, answers)
        )
        if not np.isfinite(b).all():
            return "not finite"
        a, b = a.astype(np.float64), b.astype(np.float64)
        size, error = np.linalg.norm(a, axis=1), np.linalg.norm(a - b, axis=1)
        if jumps:
            if (error > _OFF * np.maximum(size, _TYPICAL * np.median(size) + 1e-6)).mean() > _FEW:
                return "many samples of an output are off"
            continue
        kept = error <= np.quantile(error, 1 - _FEW)
        a, b, size, error = a[kept], b[kept], size[kept], error[kept]
        if np.linalg.norm(error) > _RELATIVE * np.linalg.norm(size) + 1e-6 or _cosine(a, b) < _COSINE:
            return "an output's direction or size is off"
    return None


def _cosine(a: Array, b: Array) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / length if length > 1e-9 else 1.0


def normal(text: str) -> str:
    """Return a reason without what differs from graph to graph: names and numbers."""
    text = re.sub(r"/\S*mlopt-graphs-\S*", "PATH", text)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", text)
    return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", " ".join(text.split()))[:160]
