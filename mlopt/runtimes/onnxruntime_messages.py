"""What ONNX Runtime says, read: facts for which it has a sentence and no call.

Its words are no interface: they change from version to version, and a sentence that is not recognized is a fact that
is not known. So they are read here and nowhere else, and where much hangs on one, that it was not recognized is logged.
"""

from __future__ import annotations

import logging
import re

_LOG = logging.getLogger(__name__)
_NO_KERNEL = re.compile(r"implementation for (\w+)\(")
_FIRED = re.compile(rb"GraphTransformer (\S+) modified: (\d)")
_OF_VALUES = re.compile(r"out of (data )?bounds|out of range|invalid value|unknown (word|token|key)", re.IGNORECASE)
_COULD_NOT_RUN = "could not run the model"


def without_kernel(reason: str) -> str | None:
    """Return the type of the operator for which a model was refused: the device has no kernel for it."""
    named = _NO_KERNEL.search(reason)
    if named is None:
        _LOG.info("ONNX Runtime refused a model, and no operator without a kernel was found in: %s", reason)
    return named[1] if named else None


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
