"""Which tensors are rounded: those for which ONNX Runtime on a CPU, and OpenVINO, have integer kernels.

A layer (convolution or linear) reads rounded activations and weights. In a network of convolutions its result is
rounded too, behind the batch norm and the activation that belong to it, and so is what stands between layers; around
linear layers alone, as in transformers, results stay as they are, since sums in 8 bits destroy what is computed. Biases
stay in floating point while the model learns (see ``biases``).

What torchao computes in one fused kernel is not used: the scales of symmetric ranges that it trains with are not those
that it writes. This module imports torch and torchao: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.fake_quantize import FakeQuantize
from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from mlopt.compress.qat.settings import FakeQuantization

_ATEN = torch.ops.aten
FOLDED = frozenset({_ATEN.conv1d.default, _ATEN.conv2d.default})
"""Convolutions that torchao folds a batch norm into."""
CONVOLUTIONS = FOLDED | {
    _ATEN.conv1d.padding, _ATEN.conv2d.padding, _ATEN.conv3d.default, _ATEN.conv3d.padding,
}  # fmt: skip
LINEAR = _ATEN.linear.default
BATCH_NORM = _ATEN.batch_norm.default
_ACTIVATIONS = frozenset({
    _ATEN.relu.default, _ATEN.relu_.default, _ATEN.hardtanh.default, _ATEN.hardtanh_.default, _ATEN.relu6.default,
    _ATEN.clamp.default, _ATEN.clamp_.default, _ATEN.clamp_min.default,
})  # fmt: skip
"""What the scale of the result takes in: nothing else of it is left in integers."""
_SUMS = frozenset({_ATEN.add.Tensor, _ATEN.add_.Tensor, _ATEN.mul.Tensor, _ATEN.mul_.Tensor, _ATEN.cat.default})
_POOLS = frozenset({_ATEN.avg_pool2d.default, _ATEN.adaptive_avg_pool2d.default})
_MOVING = frozenset({
    _ATEN.max_pool2d.default, _ATEN.view.default, _ATEN.reshape.default, _ATEN.flatten.using_ints,
    _ATEN.permute.default, _ATEN.transpose.int, _ATEN.squeeze.dim, _ATEN.unsqueeze.default,
})  # fmt: skip
"""What changes no value, so that its result has the range of what it reads."""


class IntegerQuantizer(Quantizer):  # type: ignore[misc]  # torchao is not followed by mypy
    """Annotates a graph; ``layers`` are the names of those whose weights are rounded."""

    def __init__(self, settings: FakeQuantization) -> None:
        self.layers: list[str] = []
        self._activation = QuantizationSpec(
            torch.uint8, FakeQuantize.with_args(
                observer=MovingAverageMinMaxObserver, averaging_constant=settings.averaging
            ), 0, 255, torch.per_tensor_affine,
        )  # fmt: skip
        observer: Any = MovingAveragePerChannelMinMaxObserver if settings.per_channel else MovingAverageMinMaxObserver
        scheme = torch.per_channel_symmetric if settings.per_channel else torch.per_tensor_symmetric
        self._weight = QuantizationSpec(
            torch.int8, FakeQuantize.with_args(observer=observer, averaging_constant=1.0),
            -settings.largest, settings.largest, scheme, ch_axis=0 if settings.per_channel else None,
        )  # fmt: skip

    def annotate(self, model: GraphModule) -> GraphModule:
        """Say of each node what is rounded there."""
        nodes = list(model.graph.nodes)
        convolutional = any(node.target in CONVOLUTIONS and _constant_weight(node) for node in nodes)
        rounded: set[Node] = set()
        for node in nodes:
            if (node.target in CONVOLUTIONS or node.target is LINEAR) and _constant_weight(node):
                self._layer(node, rounded, result=convolutional)
            elif convolutional:
                self._between(node, rounded)
        return model

    def validate(self, model: GraphModule) -> None:
        """Accept any graph: what is not annotated stays as it is."""

    def _layer(self, node: Node, rounded: set[Node], *, result: bool) -> None:
        self.layers.append(str(node.args[1].target))
        own = _annotation(node)
        own.input_qspec_map = {node.args[0]: self._activation, node.args[1]: self._weight}
        folded = folded_norm(node)
        plain = node.target is LINEAR and any(user.op == "output" or user.target is BATCH_NORM for user in node.users)
        if result and not plain:
            self._result(folded or node, rounded)

    def _between(self, node: Node, rounded: set[Node]) -> None:
        read = [each for each in node.all_input_nodes if _is_floating(each)]
        if not read or not rounded.issuperset(read) or _is_rounded(node):
            return
        if node.target in _MOVING:
            own = _annotation(node)
            own.input_qspec_map = {read[0]: self._activation}
            own.output_qspec = SharedQuantizationSpec((read[0], node))
            rounded.add(node)
        elif node.target in _SUMS | _POOLS | _ACTIVATIONS and all(isinstance(each, Node) for each in _operands(node)):
            _annotation(node).input_qspec_map = dict.fromkeys(read, self._activation)
            self._result(node, rounded)

    def _result(self, node: Node, rounded: set[Node]) -> None:
        """Round what a node, or the activation that it ends with, gives."""
        (user, *more) = node.users or (None,)
        end = user if not more and user is not None and user.target in _ACTIVATIONS else node
        _annotation(end).output_qspec = self._activation
        rounded.add(end)


def folded_norm(node: Node) -> Node | None:
    """Return the batch norm that torchao folds into a convolution, if there is one."""
    (user, *more) = node.users or (None,)
    if node.target not in FOLDED or more or user is None or user.target is not BATCH_NORM or user.args[0] is not node:
        return None
    return user if all(isinstance(each, Node) for each in user.args[1:5]) else None


def batch_norms(graph: GraphModule) -> Iterator[Node]:
    """Yield the batch norms that keep statistics."""
    return (
        n for n in graph.graph.nodes if n.target is BATCH_NORM and all(isinstance(each, Node) for each in n.args[3:5])
    )


def _annotation(node: Node) -> Any:
    return node.meta.setdefault("quantization_annotation", QuantizationAnnotation(_annotated=True))


def _is_rounded(node: Node) -> bool:
    found = node.meta.get("quantization_annotation")
    return found is not None and found.output_qspec is not None


def _constant_weight(node: Node) -> bool:
    """Whether the weight is a parameter itself, in float32."""
    weight = node.args[1]
    return isinstance(weight, Node) and weight.op == "get_attr" and _is_floating(weight)


def _is_floating(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype is torch.float32


def _operands(node: Node) -> list[Any]:
    """Return what a node computes with: the second operand of a sum may be a number."""
    if node.target is _ATEN.cat.default:
        return list(node.args[0])
    return list(node.args[:2]) if node.target in _SUMS else [node.args[0]]
