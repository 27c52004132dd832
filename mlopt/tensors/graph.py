"""Which tensors of two graphs are the same, and copies of the graphs that also give those tensors as outputs.

Two versions of a model keep the names of what they share. Where a tensor is quantized, its counterpart is what it is
read back as: to look at it before it is quantized would keep onnxruntime from computing in integers, and what saturates
there would stay unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.formats.onnx.graph import node_names, nodes, subgraphs
from mlopt.formats.onnx.names import fresh, value_names

if TYPE_CHECKING:
    import onnx

_CONVERTING = frozenset({"Constant", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_FOLDED = frozenset(
    {
        "BatchNormalization", "Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu",
        "PRelu", "Mul", "Add", "Sub", "Div", "Identity", "Dropout", "Cast",
    }
)  # fmt: skip
_SUFFIX = "_QuantizeLinear_Output"
"""What onnxruntime's quantizer appends to a tensor's name for its integers; its fused operators keep that name."""
_SCALE_INPUT = {
    "QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QLinearAdd": 6, "QLinearMul": 6, "QGemm": 7,
    "QLinearAveragePool": 3, "QLinearGlobalAveragePool": 3, "QLinearSigmoid": 3, "QLinearLeakyRelu": 3,
    "QLinearSoftmax": 3, "QLinearConcat": 0,
}  # fmt: skip
"""Where an operator that writes integers reads the scale of its output; its zero point follows."""


@dataclass(frozen=True)
class Tensor:
    """A tensor that a node of the graph computes."""

    name: str
    node: str
    op_type: str


@dataclass(frozen=True)
class View:
    """Where a tensor can be looked at: an output of a node, or integers that have to be dequantized first."""

    name: str
    scale: tuple[str, ...] = ()
    """The names of scale and zero point, for integers."""
    read_back: str = ""
    """A free name for what integers are read back as."""

    @property
    def output(self) -> str:
        """The name under which the exposed graph gives it."""
        return self.read_back or self.name


def tensors(graph: onnx.GraphProto, dtypes: Mapping[str, int]) -> tuple[Tensor, ...]:
    """Return what the nodes compute in floating point, in the graph's order, and all outputs.

    ``dtypes`` are the ONNX types that are known. Constants and conversions are left out. A node without a name gets one
    as the quantizer gives it, so that it can be excluded by it.
    """
    outputs = {value.name for value in graph.output}
    found = []
    for node, named in zip(graph.node, node_names(graph), strict=True):
        if node.op_type == "Constant":
            continue
        found += [
            Tensor(name, named, node.op_type)
            for name in node.output
            if name in outputs or (name and node.op_type not in _CONVERTING and _may_be_float(dtypes.get(name)))
        ]
    return tuple(found)


def views(graph: onnx.GraphProto) -> dict[str, View]:
    """Return where each computed tensor can be looked at, by the name that it has in a graph without quantization."""
    found = {name: View(name) for node in graph.node for name in node.output if name}
    read_back: dict[str, str] = {}
    whole = [node for node in graph.node if node.input and node.output]
    taken = value_names(graph)
    for node in whole:
        if node.op_type == "DequantizeLinear":
            read_back.setdefault(node.input[0], node.output[0])
    for node in whole:
        if node.op_type not in _SCALE_INPUT or _is_channels_last(node):
            continue
        first, integers = _SCALE_INPUT[node.op_type], node.output[0]
        if integers in read_back:
            view = View(read_back[integers])
        else:
            view = View(integers, (*node.input[first : first + 2],), fresh(f"{integers}/dequantized", taken))
        if node.op_type == "QuantizeLinear":
            found[node.input[0]] = view
        elif integers.endswith(_SUFFIX):
            found.setdefault(integers.removesuffix(_SUFFIX), view)
    return found | {value.name: View(value.name) for value in graph.output}


def counterparts(a: onnx.GraphProto, b: onnx.GraphProto) -> dict[str, tuple[View, View]]:
    """Return where to look at each tensor of ``a`` and at its counterpart in ``b``.

    Outputs that were renamed are matched by their position, where there are equally many.
    """
    in_a, in_b = views(a), views(b)
    renamed = {}
    if len(a.output) == len(b.output):
        kept = {value.name for value in a.output} & {value.name for value in b.output}
        pairs = zip(a.output, b.output, strict=True)
        renamed = {one.name: View(other.name) for one, other in pairs if not {one.name, other.name} & kept}
    known = in_b | renamed
    return {name: (view, known[name]) for name, view in in_a.items() if name in known}


def followers(a: onnx.GraphProto, b: onnx.GraphProto, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return what a tensor's counterpart in ``b`` may stand for instead: tensors of ``a``, by the tensor's name.

    Where the only reader of a tensor is a node that a tool folds into the one before it (a normalization, an
    activation, a sum with a constant), the node before keeps the name of its output and computes what the reader did.
    That cannot be so where a node of the reader's kind still reads the counterpart. ``known`` have counterparts.
    """
    outputs = {value.name for value in a.output}
    readers, still = _readers(a), _readers(b)
    computed = {value.name for value in a.input}.union(
        name for n in a.node if n.op_type != "Constant" for name in n.output
    )
    found = {}
    for name in known:
        chain, kinds = [name], _kinds(name, still)
        while chain[-1] not in outputs:
            reading = readers.get(chain[-1], ())
            alone = reading[0] if len(reading) == 1 else None
            if alone is None or alone.op_type not in _FOLDED - kinds or not alone.output or alone.output[0] in known:
                break
            if sum(each in computed for each in alone.input) > 1:  # both branches of a residual sum are no constants
                break
            chain.append(alone.output[0])
        if chain[1:]:
            found[name] = tuple(chain[1:])
    return found


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in set(_reads(node)):
            found.setdefault(name, []).append(node)
    return found


def _kinds(name: str, readers: Mapping[str, Sequence[onnx.NodeProto]]) -> frozenset[str]:
    """Return the operators that read a tensor, also where it is quantized and read back in between."""
    kinds, waiting, seen = set[str](), [name], set[str]()
    while waiting:
        at = waiting.pop()
        for node in readers.get(at, ()) if at not in seen else ():
            kinds.add(node.op_type)
            waiting += node.output if node.op_type in {"QuantizeLinear", "DequantizeLinear"} else ()
        seen.add(at)
    return frozenset(kinds)


def exposed(proto: onnx.ModelProto, wanted: Sequence[View]) -> bytes:
    """Return the serialized graph with ``wanted`` among its outputs; their types are for the runtime to infer.

    ``proto`` is as before when this returns: its weights may be too large to copy.
    """
    import onnx

    graph = proto.graph
    own_nodes, own_outputs = len(graph.node), len(graph.output)
    given = {value.name for value in graph.output}
    for view in dict.fromkeys(wanted):
        if view.scale:
            graph.node.append(onnx.helper.make_node("DequantizeLinear", [view.name, *view.scale], [view.output]))
        if view.output not in given:
            graph.output.append(onnx.ValueInfoProto(name=view.output))
    serialized: bytes = proto.SerializeToString()
    del graph.node[own_nodes:], graph.output[own_outputs:]
    return serialized


def nearest(reads: Mapping[str, Sequence[str]], name: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the closest tensors among ``known`` from which ``name`` is computed; ``reads`` is the graph."""
    seen, found = {name}, []
    waiting = list(reads.get(name, ()))
    while waiting:
        source = waiting.pop(0)
        if source in seen:
            continue
        seen.add(source)
        if source in known:
            found.append(source)
        else:
            waiting += reads.get(source, ())
    return tuple(found)


def sources(graph: onnx.GraphProto) -> dict[str, tuple[str, ...]]:
    """Return, for each computed tensor, what its node reads, through the bodies of If, Loop and Scan too."""
    return {name: tuple(_reads(node)) for node in graph.node for name in node.output if name}


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from (name for name in node.input if name)
    for body in subgraphs(node):
        for inner in nodes(body):
            yield from (name for name in inner.input if name)


def _may_be_float(elem_type: int | None) -> bool:
    """Whether a tensor is floating point as far as shape inference knows; of other domains' operators it does not."""
    import onnx

    tensor = onnx.TensorProto
    return elem_type in {None, tensor.UNDEFINED, tensor.FLOAT, tensor.FLOAT16, tensor.DOUBLE}


def _is_channels_last(node: onnx.NodeProto) -> bool:
    """Whether the integers lie in another order than the tensor that they stand for."""
    return any(attribute.name == "channels_last" and attribute.i for attribute in node.attribute)
