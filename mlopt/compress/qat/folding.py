"""Batch norms become part of the weights before them: those that torchao trains on, after it; the others, before it.

torchao trains a convolution with the weights that the folded one will have, and divides its result by the same factors
before the batch norm. Its own conversion searches the graph for 96 variants of that, each traced anew (20 seconds), and
folds with the default ``eps``. This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from mlopt.compress.qat.quantizer import CONVOLUTIONS, FOLDED, LINEAR, batch_norms

_ATEN = torch.ops.aten


def fold_others(graph: GraphModule) -> None:
    """Fold batch norms after layers that torchao does not train with theirs; the graph is changed."""
    for number, norm in enumerate(list(batch_norms(graph))):
        layer = norm.args[0]
        if isinstance(layer, Node) and len(layer.users) == 1 and _is_other(layer):
            bias = layer.args[2] if len(layer.args) > 2 else None
            weight = cast("Node", layer.args[1])
            parts = _Parts(layer, layer, weight, bias if isinstance(bias, Node) else None)
            _fold(graph, norm, parts, f"first_{number}")
    graph.graph.eliminate_dead_code()
    graph.recompile()


def fold_trained(graph: GraphModule) -> None:
    """Fold every batch norm that torchao prepared; the graph is changed, and is to be in evaluation."""
    for number, norm in enumerate(list(batch_norms(graph))):
        found = _prepared(norm)
        if found is not None:
            _fold(graph, norm, found, str(number))
    graph.graph.eliminate_dead_code()
    graph.recompile()


@dataclass(frozen=True)
class _Parts:
    layer: Node
    holder: Node
    """What reads the weight: the layer, or what rounds it first."""
    weight: Node
    bias: Node | None


def _is_other(layer: Node) -> bool:
    """Whether the channels of a layer, whose weight is a parameter, are those of a batch norm after it."""
    value = layer.meta.get("val")
    weight = layer.args[1] if len(layer.args) > 1 else None
    matrix = layer.target is LINEAR and isinstance(value, torch.Tensor) and value.ndim == 2
    constant = isinstance(weight, Node) and weight.op == "get_attr"
    return constant and (matrix or (layer.target in CONVOLUTIONS and layer.target not in FOLDED))


def _prepared(norm: Node) -> _Parts | None:
    """Return what is before a batch norm, if torchao has put its factors between them."""
    last, bias = cast("Node", norm.args[0]), None
    if last.target is _ATEN.add.Tensor and isinstance(last.args[1], Node) and isinstance(last.args[0], Node):
        last, bias = last.args[0], (last.args[1].all_input_nodes or [None])[0]
    if last.target is not _ATEN.div.Tensor:
        return None
    layer = last.args[0]
    if not isinstance(layer, Node) or layer.target not in FOLDED:
        return None
    rounding = cast("Node", layer.args[1])
    rounds = rounding.op == "call_module"
    scaled = cast("Node", rounding.args[0]) if rounds else rounding
    return _Parts(layer, rounding if rounds else layer, cast("Node", scaled.args[0]), bias)


def _fold(graph: GraphModule, norm: Node, parts: _Parts, name: str) -> None:
    """Put one batch norm into new parameters of the layer before it."""
    own = [None if each is None else _value(graph, each) for each in (parts.weight, parts.bias)]
    names = ("bn_w", "bn_b", "bn_rm", "bn_rv")
    of_norm = {
        name: None if each is None else _value(graph, cast("Node", each))
        for name, each in zip(names, norm.args[1:5], strict=True)
    }
    fused = fuse_linear_bn_weights if parts.layer.target is LINEAR else fuse_conv_bn_weights
    folded = fused(*own, **of_norm, bn_eps=norm.args[7])
    nodes = []
    with graph.graph.inserting_before(parts.holder):
        for what, value in zip(("weight", "bias"), folded, strict=True):
            graph.register_parameter(f"folded_{what}_{name}", value)
            nodes.append(graph.graph.get_attr(f"folded_{what}_{name}"))
            nodes[-1].meta["val"] = value.detach()
    weight, bias = nodes
    if parts.holder is not parts.layer:
        parts.holder.update_arg(0, weight)
        weight = parts.holder
    parts.layer.args = (parts.layer.args[0], weight, bias, *parts.layer.args[3:])
    norm.replace_all_uses_with(parts.layer)
    graph.graph.erase_node(norm)


def _value(graph: GraphModule, node: Node) -> torch.Tensor:
    path, _, name = str(node.target).rpartition(".")
    value: torch.Tensor = getattr(graph.get_submodule(path), name)
    return value
