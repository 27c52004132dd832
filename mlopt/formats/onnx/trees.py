"""Ensembles of trees and other models of ``ai.onnx.ml``, whose weights are attributes of nodes and not tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from mlopt.formats.onnx.graph import nodes

if TYPE_CHECKING:
    import onnx

DOMAIN = "ai.onnx.ml"
_LEAF = b"LEAF"
_WEIGHTS = frozenset(
    {
        "coefficients", "intercepts", "support_vectors", "rho", "offset", "scale", "nodes_values", "class_weights",
        "target_weights", "base_values", "nodes_splits", "leaf_weights",
    }
)  # fmt: skip
"""The attributes that hold what was learnt; the others say how trees hang together, or what classes are called."""


@dataclass(frozen=True)
class Trees:
    """All trees of a model."""

    trees: int
    nodes: int
    comparisons: int
    """That one sample takes at most: the depths of all trees."""


def learnt(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """Yield the dtype and the number of the values in each attribute that holds some."""
    import onnx

    for node in nodes(graph):
        for attribute in node.attribute if node.domain == DOMAIN else ():
            if attribute.name.removesuffix("_as_tensor") in _WEIGHTS:
                if attribute.HasField("t"):
                    count = prod(attribute.t.dims)
                    yield onnx.helper.tensor_dtype_to_np_dtype(attribute.t.data_type).name, count
                elif attribute.floats:
                    yield "float32", len(attribute.floats)


def trees_in(graph: onnx.GraphProto) -> Trees | None:
    """Return what trees a graph has, as far as its file lists their nodes one by one; None if there are none."""
    found = [_of(node) for node in nodes(graph) if node.domain == DOMAIN and _modes(node)]
    if not found:
        return None
    return Trees(*(sum(values) for values in zip(*((each.trees, each.nodes, each.comparisons) for each in found))))  # noqa: B905 - of one length


def multiplied(node: onnx.NodeProto) -> int | None:
    """Return the multiplications that a node of ``ai.onnx.ml`` takes for one row; None if that is not known."""
    sizes = {attribute.name: len(attribute.floats) for attribute in node.attribute}
    if node.op_type in {"LinearClassifier", "LinearRegressor"}:
        return sizes.get("coefficients", 0)
    if node.op_type.startswith("SVM"):
        return sizes.get("support_vectors", 0) or sizes.get("coefficients", 0)
    return 0 if node.op_type in _NO_PRODUCTS else None


_NO_PRODUCTS = frozenset(
    {
        "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "ArrayFeatureExtractor", "Binarizer",
        "CastMap", "CategoryMapper", "DictVectorizer", "FeatureVectorizer", "Imputer", "LabelEncoder", "Normalizer",
        "OneHotEncoder", "Scaler", "ZipMap",
    }
)  # fmt: skip
"""What compares, looks up, or works value by value, which is not counted in other operators, either."""


def _modes(node: onnx.NodeProto) -> Sequence[bytes]:
    return next((attribute.strings for attribute in node.attribute if attribute.name == "nodes_modes"), ())


def _of(node: onnx.NodeProto) -> Trees:
    """Count the trees of one node, whose nodes are listed one by one."""
    lists = {attribute.name: list(attribute.ints) for attribute in node.attribute}
    modes = list(_modes(node))
    every = lists.get("nodes_treeids") or [0] * len(modes)
    own = lists.get("nodes_nodeids") or list(range(len(modes)))
    sides = zip(lists.get("nodes_truenodeids", ()), lists.get("nodes_falsenodeids", ()), strict=False)
    below: dict[int, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for tree, number, children, mode in zip(every, own, sides, modes, strict=False):
        below[tree][number] = () if mode == _LEAF else children
    return Trees(len(below), len(modes), sum(_depth(children) for children in below.values()))


def _depth(children: Mapping[int, tuple[int, ...]]) -> int:
    """Return the comparisons on the longest way from the first node, 0, down; a node that comes again ends its way."""
    deepest, seen, level = 0, set[int](), {min(children)}
    while level := level - seen:
        seen |= level
        level = {child for number in level for child in children.get(number, ())}
        deepest += bool(level)
    return deepest
