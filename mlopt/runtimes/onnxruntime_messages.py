"""What ONNX Runtime says, read: facts for which it has a sentence and no call.

Its words are no interface: they change from version to version, and a sentence that is not recognized is a fact that
is not known. So they are read here and nowhere else, and where much hangs on one, that it was not recognized is logged.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mlopt.formats.onnx.file import read_graph

_LOG = logging.getLogger(__name__)
_NO_KERNEL = re.compile(r"implementation for (\w+)\(")
_FIRED = re.compile(rb"GraphTransformer (\S+) modified: (\d)")
_OF_VALUES = re.compile(r"out of (data )?bounds|out of range|invalid value|unknown (word|token|key)", re.IGNORECASE)
_COULD_NOT_RUN = "could not run the model"
_WITH_FEW_KERNELS = {11: "float64", 16: "bfloat16", 17: "float8", 18: "float8", 19: "float8", 20: "float8"}
"""By their numbers in ONNX."""


def without_kernel(reason: str) -> str | None:
    """Return the type of the operator for which a model was refused: the device has no kernel for it."""
    named = _NO_KERNEL.search(reason)
    if named is None:
        _LOG.info("ONNX Runtime refused a model, and no operator without a kernel was found in: %s", reason)
    return named[1] if named else None


def odd_floats(path: Path) -> dict[str, str]:
    """Return what to say of a model for which a kernel is missing, if that may be for its floating-point types."""
    graph = read_graph(path).graph
    typed = (value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output))
    cast = (a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to")
    found = {_WITH_FEW_KERNELS.get(kind) for kind in (*(t.data_type for t in graph.initializer), *typed, *cast)}
    names = sorted(filter(None, found))
    if not names:
        return {}
    return {
        "got": f"tensors in {' and '.join(names)}",
        "expected": "float32, or float16: there are few kernels for others",
        "fix": "give the model in float32 (of PyTorch: `model.float()` before the export, and no torch.autocast)",
    }


def briefly(reason: str) -> str:
    """Return which operator and types there is no kernel for, without the node that asked for it."""
    return reason.partition(" node with name")[0]


def copied_wrongly(fault: str) -> bool:
    """Whether the loader stumbled over a pair with signed activations that it had copied itself."""
    return "output_dtype" in fault


def fusions(log: bytes) -> list[str]:
    """Return the graph transformers that changed something, by its verbose log of loading a model."""
    told = _FIRED.findall(log)
    if not told:
        _LOG.warning("ONNX Runtime's log names no graph transformer: which fusions fired is not known")
    return sorted({name.decode() for name, modified in told if modified == b"1"})


def could_not_run(cause: str) -> bool:
    """Whether a model was opened and then did not take what it was fed."""
    return _COULD_NOT_RUN in cause


def blames_values(cause: str) -> bool:
    """Whether the values were to blame, and not their sizes."""
    return _OF_VALUES.search(cause) is not None
