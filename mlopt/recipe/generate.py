"""The recipe for somebody who has only a model: what is safe to try, each step dropped where it does not help."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.formats.model import Model, TensorSpec
from mlopt.gate.defaults import of_size
from mlopt.recipe.given_data import GivenData, described
from mlopt.recipe.schema import API_VERSION
from mlopt.recipe.scores import ClassOutputs, scores_of
from mlopt.recipe.yaml_writer import dump
from mlopt.results.budget import COSINE
from mlopt.results.roles import BASELINE


@dataclass(frozen=True)
class Draft:
    """A recipe that is made for a model: all that was found out, to be written wherever the recipe is to stand."""

    model: Path
    """The model's file, or its folder."""
    metric: Mapping[str, Any]
    passes: tuple[Mapping[str, Any], ...]
    batch_size: int = 1
    declared: Mapping[str, Any] = field(default_factory=dict)
    """The keys of ``model`` beside ``source``."""
    prefix: str = ""
    """What stands before the model's path in ``model.source``."""
    data: Path | None = None
    given: GivenData = field(default_factory=GivenData)
    samples: int = 0

    def text(self, path: Path) -> str:
        """Return the recipe as it is to be written to ``path``: its paths are relative to that."""
        source = self.prefix + _relative(self.model, path)
        sections = [
            ("What to optimize. Paths are relative to this file.", {"model": {"source": source, **self.declared}}),
            *_data(self, path),
            (_METRIC[self.metric["name"]], {"metric": dict(self.metric)}),
            (_TARGET, {"target": {"runtime": "auto", "device": "cpu", "batch_size": self.batch_size}}),
            ("latency, throughput or size.", {"objective": "latency"}),
            (_PASSES, {"passes": [dict(step) for step in self.passes]}),
            (_GATES, {"gates": _gates(self.metric["name"])}),
        ]
        head = {"apiVersion": API_VERSION, "name": _name(self.model.name if self.prefix else self.model.stem)}
        return "\n".join([dump(head), *(f"{_comment(text)}{dump(section)}" for text, section in sections)])


def draft_for_model(model: Model, data: Path | None) -> Draft:
    """Return the draft of a recipe for an ONNX ``model``.

    ``data`` is an ``.npz`` whose arrays are named after the inputs, first axis = samples, a folder of images or a
    ``.jsonl`` file: one half calibrates, the other judges. Without it, or with one sample, nothing is quantized.
    Raises ``DataError``.
    """
    scores = scores_of(model)
    given = described(data, model.inputs, model.path.parent) if data else GivenData()
    samples, labelled = looked_at(data, given, model, scores) if data else (0, False)
    return Draft(
        model.path, _metric(scores, model, labelled=labelled), optional_passes(samples),
        batch_size=_batch_size(model.inputs), data=data, given=given, samples=samples,
    )  # fmt: skip


def recipe_for_model(model: Model, path: Path, data: Path | None) -> str:
    """Return the text of a recipe for an ONNX ``model``, to be written to ``path``; raises ``DataError``."""
    return draft_for_model(model, data).text(path)


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


def _data(draft: Draft, path: Path) -> list[tuple[str, dict[str, Any]]]:
    if draft.data is None:
        return []
    keys = source_keys(draft.data, draft.given, path)
    said = "".join(f"\n{each[0].upper()}{each[1:]}." for each in draft.given.said)
    if draft.samples < 2:
        return [(f"One sample judges, and none is left to calibrate on.{said}", {"data": {"evaluation": keys}})]
    parts = {"calibration": {**keys, "split": [0.0, 0.5]}, "evaluation": {**keys, "split": [0.5, 1.0]}}
    text = "One half calibrates, the other judges; each class (of `labels`) is in both in its share. Of samples in the"
    text += "\norder of time, add `in_order: true` to both: then the past calibrates."
    return [(text + said, {"data": parts})]


def source_keys(data: Path, given: GivenData, path: Path) -> dict[str, Any]:
    """Return a data source as a recipe at ``path`` says it."""
    keys: dict[str, Any] = {"source": _relative(data, path), **given.keys}
    if given.tokenizer is not None:
        keys["text"] = {"tokenizer": _relative(given.tokenizer, path), **keys["text"]}
    return keys


def looked_at(data: Path, given: GivenData, model: Model, scores: ClassOutputs | None) -> tuple[int, bool]:
    """Return how many samples there are, and whether they have labels of the classes that the model tells apart."""
    keys = source_keys(data, given, data.resolve().parent / "recipe.yaml")
    source = DataSource.model_validate_json(json.dumps(keys))
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


def optional_passes(samples: int) -> tuple[Mapping[str, Any], ...]:
    """Return the steps for an ONNX model: INT8 only with enough samples to calibrate on."""
    names = ("simplify", "quantize", "fuse") if samples >= 2 else ("simplify", "fuse")
    return tuple({name: {"optional": True}} for name in names)


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


def _name(text: str) -> str:
    """The file's name as a recipe's: at most 64 letters, digits, dots, - and _."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-")[:64] or "model"


def _relative(file: Path, recipe: Path) -> str:
    text = Path(os.path.relpath(file.resolve(), recipe.resolve().parent)).as_posix()
    return text if text.startswith("../") else f"./{text}"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())
