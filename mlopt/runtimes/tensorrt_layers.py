"""What the library tells of an engine's layers, which it does only where a driver answers: names, kinds, precisions.

The inspector writes JSON. An engine that was built without details has names alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mlopt.results.timing import Layer

_PRECISIONS = (
    ("int8", re.compile(r"\bint8\b", re.IGNORECASE)),
    ("fp16", re.compile(r"\b(fp16|half)\b", re.IGNORECASE)),
    ("fp32", re.compile(r"\b(fp32|float)\b", re.IGNORECASE)),
)
_COMPUTES = re.compile(r"conv|gemm|matmul|matrix", re.IGNORECASE)


def layers_of(trt: Any, engine: Any) -> list[Layer]:
    """Ask an engine what it is made of."""
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return [read_layer(each) for each in json.loads(text).get("Layers", ())]


def read_layer(told: Any) -> Layer:
    """Read what the inspector tells of one: its name alone, or what it was built from.

    A layer computes in what it is fed with: what it writes may be for the next one.
    """
    if not isinstance(told, dict):
        return Layer(str(told), "", "", "", ())
    name = str(told.get("Name", ""))
    kind = str(told.get("ParameterType") or told.get("LayerType", ""))
    return Layer(name, kind, _precision(told), str(told.get("TacticName", "")), (name,))


def computed_in(layers: Sequence[Layer]) -> dict[str, float] | None:
    """Return the share of convolutions and products of matrices in each precision; None if none can be told apart."""
    known = [each for each in layers if each.precision and _COMPUTES.search(f"{each.op_type} {each.kernel}")]
    found = Counter(each.precision for each in known)
    return {name: found[name] / len(known) for name, _ in _PRECISIONS} if known else None


def _precision(told: Mapping[str, Any]) -> str:
    tensors: Sequence[Mapping[str, Any]] = told.get("Inputs") or told.get("Outputs") or ({},)
    text = str(tensors[0].get("Format/Datatype", tensors[0].get("Format", "")))
    return next((name for name, form in _PRECISIONS if form.search(text)), text)
