"""Which outputs of a bare model are scores of classes, to be judged by the class and not by the cosine alone.

Guessing wrong harms either way. Of scores that are taken for an embedding nobody asks whether the answer is still the
same; an embedding that is taken for scores is refused, since its largest value means nothing. So an output counts as
scores only by what the graph says of it, and never by its shape alone (``docs/gates.md`` has the rule):

- its last operator, layout aside, is Softmax or LogSoftmax; or Sigmoid, unless the output is as large as an input is
  (a picture that is drawn again); or it comes from a classifier of scikit-learn;
- or its name says so (logits, prob, class, ...) and no other thing (an embedding, attention, a state);
- and its shape has an axis of at least two classes of a fixed size, or it is one score (for two classes);
- in a model that finds boxes no output counts: what stands at one place is then another model's third place.

Whole numbers and text count where they are labels: by name, by ArgMax, or by a classifier of scikit-learn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.table import graph_of

if TYPE_CHECKING:
    import onnx

_LAYOUT = {
    "Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
_SOFTMAX = {"Softmax", "LogSoftmax", "Hardmax"}
_NUMBERED = {"ArgMax", "ArgMin"}
_CLASSIFIERS = {"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", "ZipMap"}
_LABELS = re.compile(r"label|class|pred", re.IGNORECASE)
_SCORES = re.compile(r"prob|softmax|logit|class|score|label", re.IGNORECASE)
_SINGLE = re.compile(r"prob|sigmoid|logit", re.IGNORECASE)
_PLACES = re.compile(r"(start|end).?(logits|scores|positions)", re.IGNORECASE)
_OTHER = re.compile(r"embed|feature|hidden|pool|latent|state|cache|present|past|(cls|class).?token", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_BOXES = re.compile(r"box|bbox|\bdets?\b|detection|anchor|landmark|keypoint|\bloc\b|\bnum_det", re.IGNORECASE)


@dataclass(frozen=True)
class ClassOutputs:
    """The outputs that are judged by their classes."""

    outputs: tuple[str, ...]
    sequence: bool
    """Whether one of them reads like a text: a class at each step of a picture or a sound."""
    classes: int | None
    """How many the first of them has scores for; None where it gives labels."""
    text: bool = False
    """Whether the first gives names."""


def scores_of(model: Model) -> ClassOutputs | None:
    """Return the outputs of an ONNX model that are scores of classes, or labels; None if there are none."""
    graph = graph_of(model).graph
    found_boxes = any(_BOXES.search(spec.name) for spec in model.outputs)
    if found_boxes or any(node.op_type == "NonMaxSuppression" for node in graph.node):
        return None
    makers = {name: node for node in graph.node for name in node.output}
    found = [spec for spec in model.outputs if _counts(spec, _made_by(spec.name, makers), model)]
    labels = [spec for spec in found if not _is_float(spec)]
    found = labels if labels and all(_alike(labels[0], spec) for spec in found) else found
    if not found:
        return None
    whole_numbers_in = any(not _is_float(spec) for spec in model.inputs)
    first = found[0]
    return ClassOutputs(
        tuple(spec.name for spec in found), any(map(_has_steps, found)) and not whole_numbers_in,
        _classes(first) if _is_float(first) else None, first.dtype == "string",
    )  # fmt: skip


def _counts(spec: TensorSpec, maker: str, model: Model) -> bool:
    if not _is_float(spec):
        numbers = spec.dtype == "string" or spec.dtype.startswith(("int", "uint", "bool"))
        return numbers and (maker in _NUMBERED | _CLASSIFIERS or bool(_LABELS.search(spec.name)))
    if _ATTENTION.search(spec.name):
        return False
    if maker in _SOFTMAX | _CLASSIFIERS:
        return _classes(spec, either=True) is not None
    if _PLACES.search(spec.name):
        return len(spec.shape) == 2
    named = _SCORES.search(spec.name) is not None
    again = any(_same_size(spec, given) for given in model.inputs)
    if _OTHER.search(spec.name) or not (named or (maker == "Sigmoid" and not again)):
        return False
    single = _is_single(spec) and (maker == "Sigmoid" or _SINGLE.search(spec.name) is not None)
    return single or (_classes(spec) is not None and (named or len(spec.shape) < 4))


def _made_by(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """Return the operator that an output comes from, layout aside."""
    node = makers.get(name)
    while node is not None and node.op_type in _LAYOUT and node.input:
        node = makers.get(node.input[0])
    return node.op_type if node is not None else ""


def _large(spec: TensorSpec) -> list[int]:
    return [axis for axis, size in enumerate(spec.shape) if axis and size != 1]


def _classes(spec: TensorSpec, *, either: bool = False) -> int | None:
    """Return the size of the axis of classes, if it is fixed and there is one.

    Of steps and classes these come last, unless probabilities, which add up, may say that it is ``either``.
    """
    large, last = _large(spec), len(spec.shape) - 1
    if not large or (last > 2 and 1 in (spec.shape[1], spec.shape[last]) and len(large) > 1):
        return None
    for axis in large if len(large) == 1 else (1, last) if last > 2 else (last, 1)[: 1 + either]:
        size = spec.shape[axis]
        if isinstance(size, int):
            return size
    return None


def _is_single(spec: TensorSpec) -> bool:
    """Whether there is one score for a sample, or for each place of a map."""
    large, last = _large(spec), len(spec.shape) - 1
    return not large or (last > 2 and 1 in (spec.shape[1], spec.shape[last]))


def _has_steps(spec: TensorSpec) -> bool:
    return len(_large(spec)) == (2 if _is_float(spec) else 1) and len(spec.shape) < 4


def _same_size(spec: TensorSpec, given: TensorSpec) -> bool:
    return spec.shape[1:] == given.shape[1:] and len(spec.shape) > 1


def _alike(label: TensorSpec, spec: TensorSpec) -> bool:
    """Whether scores are those that a label was chosen by, which then says it all."""
    return spec is label or len(spec.shape) >= len(label.shape)


def _is_float(spec: TensorSpec) -> bool:
    return spec.dtype.startswith(("float", "bfloat", "double"))
