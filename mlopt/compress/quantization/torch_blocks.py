"""A linear layer whose weight is kept as small integers, in PyTorch and, exported, in ONNX.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import torch

_OPSET = 21
"""The first whose DequantizeLinear takes blocks."""


class BlockLinear(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """``x @ W + bias``, where W [inputs, outputs] is integers times one scale per ``block`` inputs and output.

    ``integers`` is int8 [inputs, outputs]; ``scales`` float32 and ``zeros`` (int8, or None for zero points of 0) are
    [inputs / block, outputs]; ``bias`` [outputs] or None. Exported, W is one DequantizeLinear before a MatMul, which
    onnxruntime joins to one operator that reads the integers.
    """

    def __init__(
        self,
        integers: torch.Tensor,
        scales: torch.Tensor,
        zeros: torch.Tensor | None,
        bias: torch.Tensor | None,
        block: int,
    ) -> None:
        super().__init__()
        self.register_buffer("integers", integers)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", zeros)
        self.register_buffer("bias", bias)
        self.block = block
        self.in_features, self.out_features = integers.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take [..., inputs], return [..., outputs]."""
        y = torch.matmul(x, self._floats())
        return y if self.bias is None else y + self.bias

    @property
    def weight(self) -> torch.Tensor:
        """The weight as ``torch.nn.Linear`` has it, [outputs, inputs]: some modules read it past ``forward``."""
        return self._floats().T

    def _floats(self) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                "DequantizeLinear", [self.integers, self.scales, self.zeros], {"axis": 0, "block_size": self.block},
                dtype=self.scales.dtype, shape=self.integers.shape, version=_OPSET,
            )  # fmt: skip
        scales, zeros = self.scales.repeat_interleave(self.block, 0), self.zeros
        offset = 0 if zeros is None else zeros.repeat_interleave(self.block, 0).to(scales.dtype)
        return (self.integers.to(scales.dtype) - offset) * scales
