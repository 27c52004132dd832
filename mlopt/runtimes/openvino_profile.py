"""What OpenVINO made of a model, layer by layer: what ran, in which precision, and how long.

Its layers are not the model's nodes: some are one of several nodes, some change only the layout of a tensor. A layer is
told by the first node of the model that is in it, and by its own name where there is none.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from mlopt.results.timing import Layer, NodeTime
from mlopt.runtimes.base import Feeds

if TYPE_CHECKING:
    import onnx
    import openvino

_WARM_UP_CALLS = 3
_LEAST_CALLS = 3
_MOST_CALLS = 100
_NO_WORK = frozenset({"Const", "Input", "Output"})
_ADDED = re.compile(r"_original$|/(WithoutBiases|DequantizationSubtract|DequantizationMultiply)$")
"""What OpenVINO appends to the name of a node that it takes apart."""
Named = Mapping[str, tuple[str, str]]
"""What a layer is told by: the name and the type of a node of the model."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of a model by what OpenVINO calls them: a node without a name is called after its output."""

    known: Named

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Self:
        """Read them from the graph; those inside the bodies of others are not among them."""
        named = {out: (node.name or out, node.op_type) for node in graph.node for out in node.output if out}
        return cls(named | {node.name: (node.name, node.op_type) for node in graph.node if node.name})

    def told(self, names: Iterable[str]) -> tuple[str, str] | None:
        """Return name and type of the first that is a node of the model."""
        bare = (_ADDED.sub("", name) for name in names)
        return next((self.known[name] for name in bare if name in self.known), None)

    def in_layers(self, layers: Iterable[Layer]) -> Named:
        """Return for each layer what it is told by, where a node of the model is in it."""
        told = {each.name: self.told((*each.made_of, each.name)) for each in layers}
        return {name: node for name, node in told.items() if node is not None}


def layers_of(native: openvino.CompiledModel) -> list[Layer]:
    """Return the layers that compute, in their order."""
    every = [_layer(each) for each in native.get_runtime_model().get_ordered_ops()]
    return [each for each in every if each.op_type not in _NO_WORK]


def _layer(native: Any) -> Layer:
    facts = native.get_rt_info()

    def fact(name: str) -> str:
        return str(facts[name].value) if name in facts else ""

    made_of = tuple(filter(None, fact("originalLayersNames").split(",")))
    return Layer(
        native.get_friendly_name(), fact("layerType"), fact("runtimePrecision"), fact("primitiveType"), made_of
    )  # fmt: skip


def precisions_of(layers: Iterable[Layer], named: Named) -> dict[str, str]:
    """Return the precision of each node, or of the layer that is none: of several layers, that of the node itself."""
    found: dict[str, str] = {}
    for each in layers:
        name, _ = named.get(each.name, (each.name, each.op_type))
        if name not in found or each.name == name:
            found[name] = each.precision
    return found


def times_of(
    run: Callable[[Feeds], object], counters: Callable[[], Iterable[openvino.ProfilingInfo]], named: Named,
    feeds: Iterator[Feeds], seconds: float,
) -> list[NodeTime]:  # fmt: skip
    """Warm up, run for about ``seconds``, and read after each run what was counted."""
    for _ in range(_WARM_UP_CALLS):
        run(next(feeds))
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    runs, end = 0, time.perf_counter() + seconds
    while runs < _LEAST_CALLS or (time.perf_counter() < end and runs < _MOST_CALLS):
        run(next(feeds))
        runs += 1
        for key, ms in _counted(counters(), named).items():
            spent[key] += [0.0] * (runs - 1 - len(spent[key]))  # it did not run before: a branch, or nothing to do
            spent[key].append(ms)
    return [NodeTime(*key, median(times + [0.0] * (runs - len(times)))) for key, times in spent.items()]


def _counted(counters: Iterable[openvino.ProfilingInfo], named: Named) -> dict[tuple[str, str], float]:
    """Return the time of one run by node of the model, or by layer where it is none of them."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for each in counters:
        if each.status == each.EXECUTED:
            key = named.get(each.node_name, (each.node_name, each.node_type))
            found[key] += each.real_time.total_seconds() * 1e3
    return found
