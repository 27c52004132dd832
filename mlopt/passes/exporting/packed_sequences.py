"""Packed sequences as TorchScript's exporter gets them right: cut to the longest one, and with all that it needs.

ONNX has no packed sequences. The exporter takes the packing away around a recurrent layer, and so forgets that
``pad_packed_sequence`` without ``total_length`` cuts to the longest sequence: a graph that was traced while one was at
full length would give longer outputs for others. It also writes lengths as int32 where int64 was declared, and fails
where only the last state of a layer is used.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import torch
from torch.nn.utils.rnn import pad_packed_sequence
from torch.overrides import TorchFunctionMode

_LAYERS = {"gru", "lstm", "rnn_tanh", "rnn_relu"}


class PackedSequences(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed by mypy here
    """A context in which packed sequences are traced with what the exporter would lose."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if not torch.jit.is_tracing():
            return result
        if name == "_pad_packed_sequence":
            padded, lengths = result
            lengths = lengths.to(torch.int32).to(torch.int64)
            if not _has_total(sys._getframe(1)):
                longest = lengths.max()
                padded = padded[:, :longest] if args[2] else padded[:longest]
            return padded, lengths
        if name in _LAYERS and isinstance(args[1], torch.Tensor):  # the sizes of its batches: packed
            return _with_output_used(*result, sizes=args[1])
        return result


def _has_total(frame: FrameType | None) -> bool:
    """Whether the caller gave ``pad_packed_sequence`` a length to pad to."""
    while frame is not None and frame.f_code is not pad_packed_sequence.__code__:
        frame = frame.f_back
    return frame is None or frame.f_locals["total_length"] is not None


def _with_output_used(output: torch.Tensor, *states: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Let the last states take their batch from the padded output: without a use of that, the exporter fails."""
    padded, _ = torch._VF._pad_packed_sequence(output, sizes, False, 0.0, sizes.size(0))
    return output, *(state.view(state.size(0), padded.size(1), state.size(2)) for state in states)
