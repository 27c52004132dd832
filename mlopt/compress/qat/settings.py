"""How a model is rounded while it learns: plain frozen settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FakeQuantization:
    """What weights and activations are rounded to: INT8 around zero, and UINT8 with a zero point."""

    per_channel: bool = True
    """Whether each output channel of a weight has a scale of its own."""
    reduce_range: bool = False
    """Whether weights keep to 7 bits, so that a 16-bit accumulator cannot saturate."""
    averaging: float = 0.05
    """The share of a batch's range in the moving average that the range of an activation is."""

    @property
    def largest(self) -> int:
        """The largest code of a weight; the smallest is its negative."""
        return 63 if self.reduce_range else 127
