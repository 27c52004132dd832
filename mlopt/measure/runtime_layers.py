"""What a runtime makes of a model before any run: which layers it fuses into nothing, and which compute in floats.

The layers are those that a runtime tells; nodes are called as the model calls them, where one of them is in a layer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import mlopt.measure.operators as told
from mlopt.core.errors import UserError
from mlopt.measure.candidate import Candidate
from mlopt.results.timing import Layer
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import runtime_named, table

_COMPUTING = re.compile(
    r"(QLinear|Fused|DynamicQuantize|Q)?(Conv|MatMul|Gemm|LSTM|Attention)(Integer|IntegerToFloat|NBits|Transpose)?"
    r"|GRU|RNN|MultiHeadAttention|GroupQueryAttention|DecoderMaskedMultiHeadAttention"
    r"|(De)?[Cc]onvolution|FullyConnected|(LSTM|GRU|RNN)(Cell|Sequence|Seq)|ScaledDotProductAttention\w*"
)
"""What multiplies matrices, by the names that the runtimes have for it."""
_ELEMENTWISE = frozenset(
    {
        "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu",
        "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Gelu", "Softplus", "Softsign", "Mish", "Exp", "Log",
        "Sqrt", "Reciprocal", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Clip", "Where", "BatchNormalization",
        "Eltwise", "Math",
    }
)  # fmt: skip
_FLOATS = frozenset({"f32", "f16", "bf16", "f64"})
_OF_FLOATS = re.compile(r"_(f32|f16|bf16)$")
"""How a kernel ends that computes in floats what it may read in integers."""


@dataclass(frozen=True)
class LayerCount:
    """Layers of one operator in one precision."""

    operator: str
    precision: str
    layers: int


@dataclass(frozen=True)
class RuntimeLayers:
    """What one runtime makes of a model."""

    runtime: str
    layers: int
    counts: tuple[LayerCount, ...]
    """The most layers first."""
    computing: int
    """How many convolutions, products of matrices and recurrent layers there are."""
    floats: tuple[str, ...]
    """Those of them that compute in floating point."""
    alone: tuple[str, ...]
    """Elementwise nodes on floats or 8-bit integers that are a layer of their own."""


def runtime_layers(deployable: Deployable, operators: Mapping[str, str]) -> RuntimeLayers:
    """Let the runtime load the model in a process of its own, and sum up what it makes of it.

    ``operators``: those of the model's nodes, by name. Raises ``UserError`` if the runtime does not tell, and what
    ``layers`` raises.
    """
    if runtime_named(deployable.runtime).layers is None:
        telling = ", ".join(name for name, each in table().items() if each.layers is not None)
        raise UserError(
            f"the runtime '{deployable.runtime}' does not tell what it makes of a model",
            expected=f"one that does: {telling}",
        )
    with TemporaryDirectory(prefix="mlopt-layers-") as folder:
        found = told.layers(Candidate(deployable.runtime, deployable), Path(folder) / "log")
    return summed_up(deployable.runtime, found, operators)


def summed_up(runtime: str, layers: Sequence[Layer], operators: Mapping[str, str]) -> RuntimeLayers:
    """Count layers, and name those that compute in floats and those that are fused into nothing."""
    counts = Counter((each.op_type, computed_in(each)) for each in layers)
    computing = [each for each in layers if _COMPUTING.fullmatch(each.op_type)]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return RuntimeLayers(
        runtime, len(layers), tuple(LayerCount(*kind, number) for kind, number in ordered), len(computing),
        tuple(_named(each, operators) for each in computing if computed_in(each) in _FLOATS),
        tuple(each.made_of[0] for each in layers if _is_alone(each, operators)),
    )  # fmt: skip


def computed_in(layer: Layer) -> str:
    """Return the precision of a layer: of a kernel that says so, that of floats, whatever it reads."""
    of_floats = _OF_FLOATS.search(layer.kernel)
    return of_floats[1] if of_floats and layer.precision not in _FLOATS else layer.precision


def _is_alone(layer: Layer, operators: Mapping[str, str]) -> bool:
    """Whether one elementwise node of the model is all that is in a layer; sizes and masks are left out."""
    rounded = layer.precision in {"u8", "i8", "int8"}
    data = rounded or computed_in(layer) in _FLOATS
    return (
        data and layer.op_type in _ELEMENTWISE and len(layer.made_of) == 1
        and operators.get(layer.made_of[0]) in _ELEMENTWISE
    )  # fmt: skip


def _named(layer: Layer, operators: Mapping[str, str]) -> str:
    """Return the node of the model that computes in a layer, else the first in it, else the layer's own name."""
    inside = [name for name in map(partial(_of_model, operators), layer.made_of) if name is not None]
    heavy = [name for name in inside if _COMPUTING.fullmatch(operators[name])]
    return [*heavy, *inside, layer.name][0]


def _of_model(operators: Mapping[str, str], name: str) -> str | None:
    """Return the node of that name; of a part, as ``conv/WithoutBiases``, the node that it was taken from."""
    while name not in operators and "/" in name:
        name = name.rpartition("/")[0]
    return name if name in operators else None
