"""A traced model that rounds while it learns, and what becomes of it: a graph with Q/DQ pairs around integer weights.

torchao places the rounding, and the ONNX exporter knows what its conversion gives. Which mode dropout and batch norms
are in is set here, at the traced nodes: torchao's own switch puts new nodes in their places, with the default ``eps``,
``momentum`` and ``p`` instead of the model's. This module imports torch and torchao: import it inside functions only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

from mlopt.compress.qat.folding import fold_others, fold_trained
from mlopt.compress.qat.quantizer import BATCH_NORM, IntegerQuantizer, batch_norms
from mlopt.compress.qat.settings import FakeQuantization

_ATEN = torch.ops.aten
_DROPOUTS = frozenset({
    _ATEN.dropout.default, _ATEN.dropout_.default, _ATEN.feature_dropout.default, _ATEN.alpha_dropout.default,
})  # fmt: skip
_DROPOUT_MODE, _NORM_MODE, _MOMENTUM, _EPS = 2, 5, 6, 7
"""The places of these arguments."""
_LEAST = 1e-6
"""Instead of 0 as the factor of a batch norm: torchao divides by it."""


class FakeQuantized(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """Takes the tensors of the traced model by position, and returns a tuple of tensors, rounded on the way."""

    def __init__(self, graph: GraphModule, settings: FakeQuantization) -> None:
        """Take a graph as ``torch.export`` traces it in evaluation; it is changed."""
        super().__init__()
        fold_others(graph)
        norms = {str(node.args[4].target): (node.args[_MOMENTUM], node.args[_EPS]) for node in batch_norms(graph)}
        _mend_factors(graph)
        _set_modes(graph, norms=True, dropouts=True)
        quantizer = IntegerQuantizer(settings)
        self.graph_module = prepare_qat_pt2e(graph, quantizer)
        self.layers: tuple[str, ...] = tuple(quantizer.layers)
        """The names of the weights that are rounded."""
        _restore(self.graph_module, norms)
        self.frozen = False
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the graph."""
        found: tuple[Tensor, ...] = self.graph_module(*tensors)
        return found

    def train(self, mode: bool = True) -> Self:
        """Follow the data in training, with ranges and batch norms, unless they are frozen; in evaluation, do not."""
        self.training = mode
        learns = mode and not self.frozen
        for each in self.fake_quantizers():
            each.enable_observer(learns)
        _set_modes(self.graph_module, norms=learns, dropouts=mode)
        return self

    def freeze(self, frozen: bool = True) -> None:
        """Keep the ranges of activations and the statistics of batch norms as they are now, or let them learn again."""
        if frozen != self.frozen:
            self.frozen = frozen
            self.train(self.training)

    def fake_quantizers(self) -> Iterable[Any]:
        """Return what rounds, once each."""
        return (each for each in self.graph_module.modules() if isinstance(each, FakeQuantizeBase))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def calibrate(self, feeds: Iterable[tuple[Tensor, ...]]) -> None:
        """Let the ranges start at the least and the largest value of each tensor in these inputs, one at least.

        Nothing is rounded meanwhile.
        """
        seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        handles = [each.register_forward_pre_hook(_watching(seen)) for each in self.fake_quantizers()]
        self.eval()
        for each in self.fake_quantizers():
            each.disable_fake_quant()
            each.enable_observer()
        for tensors in feeds:
            self(*tensors)
        for each, handle in zip(self.fake_quantizers(), handles, strict=True):
            handle.remove()
            each.enable_fake_quant()
        self.eval()
        for each, (least, most) in seen.items():
            _start(each, least, most)

    def converted(self) -> GraphModule:
        """Return a graph with Q/DQ pairs and integer weights, in evaluation, with its batch norms folded."""
        own = copy.deepcopy(self).cpu()
        own.eval()
        fold_trained(own.graph_module)
        graph: GraphModule = convert_pt2e(own.graph_module)
        return graph


def _set_modes(graph: GraphModule, *, norms: bool, dropouts: bool) -> None:
    """Say which batch norms take their statistics from the batch and follow it, and whether dropout drops."""
    wanted = [(node, _NORM_MODE, norms) for node in batch_norms(graph)]
    wanted += [(node, _DROPOUT_MODE, dropouts) for node in graph.graph.nodes if node.target in _DROPOUTS]
    other = [(node, place, value) for node, place, value in wanted if node.args[place] is not value]
    for node, place, value in other:
        node.update_arg(place, value)
    if other:
        graph.recompile()


def _mend_factors(graph: GraphModule) -> None:
    """Give each channel that a batch norm sets to 0 a tiny factor instead."""
    for node in batch_norms(graph):
        weight = node.args[1]
        if isinstance(weight, Node) and weight.op == "get_attr":
            values = graph.get_parameter(str(weight.target)).data
            values[values == 0] = _LEAST


def _restore(graph: GraphModule, norms: Mapping[str, tuple[float, float]]) -> None:
    """Give batch norms their own ``momentum`` and ``eps`` again, and what was put before them the same ``eps``."""
    for node in graph.graph.nodes:
        if node.target is BATCH_NORM and isinstance(node.args[4], Node) and str(node.args[4].target) in norms:
            momentum, eps = norms[str(node.args[4].target)]
            node.update_arg(_MOMENTUM, momentum)
            node.update_arg(_EPS, eps)
        elif node.target is _ATEN.add.Tensor and isinstance(node.args[0], Node):
            known = norms.get(str(node.args[0].target)) if node.args[0].op == "get_attr" else None
            if known is not None:
                node.update_arg(1, known[1])
    graph.recompile()


def _watching(seen: dict[nn.Module, tuple[Tensor, Tensor]]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """Return a hook that keeps the least and the largest value of activations, by what rounds them."""

    def watch(module: nn.Module, given: tuple[Tensor]) -> None:
        if module.dtype is not torch.int8:  # those of weights follow from the weights
            least, most = torch.aminmax(given[0].detach())
            known = seen.get(module, (least, most))
            seen[module] = torch.minimum(known[0], least), torch.maximum(known[1], most)

    return watch


def _start(fake_quantizer: Any, least: Tensor, most: Tensor) -> None:
    """Set the range of an activation."""
    observer = fake_quantizer.activation_post_process
    observer.min_val.copy_(least)
    observer.max_val.copy_(most)
    scale, zero_point = fake_quantizer.calculate_qparams()
    fake_quantizer.scale.copy_(scale)
    fake_quantizer.zero_point.copy_(zero_point)
