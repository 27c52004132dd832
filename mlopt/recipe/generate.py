"""The recipe for somebody who has only a model: what is safe to try, each step dropped where it does not help."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlopt.core.errors import RecipeError
from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.formats.filetype import MODEL, RECIPE, told
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.table import BUILTIN, format_for
from mlopt.gate.defaults import of_size
from mlopt.passes.base import Pass
from mlopt.recipe.load import Loaded, load, parse
from mlopt.recipe.schema import API_VERSION
from mlopt.recipe.scores import ClassOutputs, scores_of
from mlopt.recipe.yaml_writer import dump
from mlopt.results.budget import COSINE
from mlopt.results.roles import BASELINE


def recipe_for_model(model: Model, path: Path, data: Path | None) -> str:
    """Return the text of a recipe for an ONNX ``model``, to be written to ``path`` (its paths are relative to that).

    ``data`` is an ``.npz`` whose arrays are named after the inputs, first axis = samples: one half calibrates, the
    other judges. Without it, or with one sample, nothing is quantized. Raises ``DataError``.
    """
    scores = scores_of(model)
    samples, labelled = _looked_at(data, model, scores) if data else (0, False)
    metric = _metric(scores, model, labelled=labelled)
    sections = [
        ("What to optimize. Paths are relative to this file.", {"model": {"source": _relative(model.path, path)}}),
        *_data(data, samples, path),
        (_METRIC[metric["name"]], {"metric": metric}),
        (
            _TARGET,
            {"target": {"runtime": "auto", "device": "cpu", "batch_size": _batch_size(model.inputs)}},
        ),
        ("latency, throughput or size.", {"objective": "latency"}),
        (_PASSES, {"passes": [{name: {"optional": True}} for name in _passes(samples)]}),
        (_GATES, {"gates": _gates(metric["name"])}),
    ]
    head = {"apiVersion": API_VERSION, "name": _name(model.path)}
    return "\n".join([dump(head), *(f"{_comment(text)}{dump(section)}" for text, section in sections)])


def load_source(
    source: Path, data: Path | None, *, passes: Mapping[str, Pass[Any]], overrides: Sequence[str] = ()
) -> Loaded:
    """Load a recipe (.yaml, .yml), or make and load one for a bare model (.onnx) and its ``data``.

    A recipe that is made stands, as far as its relative paths matter, beside the model. Raises ``RecipeError``,
    ``ModelError`` or ``DataError``.
    """
    if source.suffix in (".yaml", ".yml"):
        if data is not None:
            fix = "name the data in the recipe, under data.evaluation and data.calibration"
            raise RecipeError("--data is only for a bare model", where=str(source), got=f"--data {data}", fix=fix)
        return load(source, passes=passes, overrides=overrides)
    if source.suffix != ".onnx":
        _refuse_others(source)
        expected = "a recipe (.yaml) or a model (.onnx)"
        if not source.exists():
            raise RecipeError("there is no such file", where=str(source), expected=expected, fix="check the path")
        kind, fix = told(source), "check the path, or download the file again"
        if kind is None:
            empty = source.is_file() and not source.stat().st_size
            what = "the file is empty" if empty else "mlopt cannot tell what this is"
            raise RecipeError(what, where=str(source), expected=expected, fix=fix)
        what, fix = f"this is {kind.name}, where a recipe or a model belongs", kind.fix
        if kind.name in (RECIPE, MODEL):
            what = f"this is {kind.name}, by its content, under a name that does not say so"
            fix = f"rename it to {source.with_suffix('.onnx' if kind.name == MODEL else '.yaml')}"
        raise RecipeError(what, where=str(source), expected=expected, fix=fix)
    path = source.with_suffix(".yaml")
    return parse(recipe_for_model(open_onnx(source), path, data), path, passes=passes, overrides=overrides)


def _refuse_others(source: Path) -> None:
    """Raise ``RecipeError`` for a model of a kind that another package brings: mlopt knows no passes for it."""
    found = format_for(source) if source.is_file() else None
    if found is not None and found not in BUILTIN:
        raise RecipeError(
            f"mlopt makes no recipe for {found.label} model", where=str(source), expected="an ONNX model, or a recipe",
            fix=f"write a recipe with model: {{source: ./{source.name}}} and passes that take it",
        )  # fmt: skip


_METRIC = {
    "accuracy": "The output looks like class scores, and the data have labels.",
    "agreement": "The output looks like class scores, so: how often is the class the source model's? With an array\n"
    "`labels` in the data, `accuracy` says more.",
    "sequence_agreement": "The output looks like class scores at each step of a picture or a sound, so: how often does "
    "it read as\nthe source model's? Of a sample that reads the same, its share of equal steps counts.",
    "fidelity": "How close are the outputs to the source model's? If they are class scores, `agreement` (or, with an "
    "array\n`labels` in the data, `accuracy`) says more.",
}
_TARGET = """\
What it will run on: `auto` tries each runtime that is installed, and the fastest that keeps the gates is shipped.
`threads` is set to the usable cores unless given."""
_PASSES = """\
In this order. An optional step that does not make the model faster, or breaks a gate, is dropped; the report says why.
See `mlopt passes` for all passes and their keys."""
_GATES = """\
What the result must be worth. Equal speed straddles 1.0 and is then inconclusive, which passes here: only a model that
is measurably slower, or worse, fails."""


def _data(data: Path | None, samples: int, path: Path) -> list[tuple[str, dict[str, Any]]]:
    if data is None:
        return []
    source = {"source": _relative(data, path)}
    if samples < 2:
        return [("One sample judges, and none is left to calibrate on.", {"data": {"evaluation": source}})]
    parts = {"calibration": {**source, "split": [0.0, 0.5]}, "evaluation": {**source, "split": [0.5, 1.0]}}
    text = "One half calibrates, the other judges; each class (of `labels`) is in both in its share. Of samples in the"
    text += "\norder of time, add `in_order: true` to both: then the past calibrates."
    return [(text, {"data": parts})]


def _looked_at(data: Path, model: Model, scores: ClassOutputs | None) -> tuple[int, bool]:
    """Return how many samples there are, and whether they have labels of the classes that the model tells apart."""
    source = DataSource(source=data.name)
    samples = read(source, data.resolve().parent, model.inputs, model.defaults)
    count, labels = len(next(iter(samples.inputs.values()))), samples.labels
    if labels is None or scores is None or labels.ndim != 1:
        return count, False
    if scores.text or labels.dtype.kind not in "iu":
        return count, scores.text and labels.dtype.kind == "U"
    return count, scores.classes is None or bool(((labels >= 0) & (labels < max(scores.classes, 2))).all())


def _metric(scores: ClassOutputs | None, model: Model, *, labelled: bool) -> dict[str, Any]:
    """Return the recipe's section on the metric."""
    if scores is None:
        return {"name": "fidelity"}
    name = "accuracy" if labelled else "sequence_agreement" if scores.sequence else "agreement"
    outputs = scores.outputs[:1] if labelled else scores.outputs
    if outputs == (model.outputs[0].name,):
        return {"name": name}
    return {"name": name, "output": outputs[0] if len(outputs) == 1 else list(outputs)}


def _passes(samples: int) -> tuple[str, ...]:
    return ("simplify", "quantize", "fuse") if samples >= 2 else ("simplify", "fuse")


def _gates(metric: str) -> list[dict[str, Any]]:
    undecided = {"on_inconclusive": "pass"}
    same = {
        "accuracy": [{"metric": "accuracy.drop_pt", "max": 1.0, **undecided}],
        "agreement": [{"metric": "accuracy.value", "min": 0.95, **undecided}],
    }
    same["sequence_agreement"] = same["agreement"]
    faster = {"metric": "speedup.median", "min": 1.0, "vs": BASELINE, **undecided}
    size = of_size()
    limits = ({"metric": f"fidelity.{name}", "max": value} for name, value in asdict(size).items())
    return [{"metric": "fidelity.cosine", "min": COSINE}, *limits, *same.get(metric, []), faster]


def _batch_size(inputs: tuple[TensorSpec, ...]) -> int:
    """The first dimension, where all inputs agree on a fixed one."""
    first = {spec.shape[0] if len(spec.shape) > 1 else None for spec in inputs}
    size = first.pop() if len(first) == 1 else None
    return size if isinstance(size, int) and size > 1 else 1


def _name(path: Path) -> str:
    """The file's name as a recipe's: at most 64 letters, digits, dots, - and _."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip("._-")[:64] or "model"


def _relative(file: Path, recipe: Path) -> str:
    text = Path(os.path.relpath(file.resolve(), recipe.resolve().parent)).as_posix()
    return text if text.startswith("../") else f"./{text}"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())
