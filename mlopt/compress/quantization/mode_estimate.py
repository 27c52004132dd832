"""What a mode is expected to save, layer by layer, before a version is written in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mlopt.compress.quantization.layer_selection import best_set
from mlopt.compress.quantization.scheme import Mode


@dataclass(frozen=True)
class ModeEstimate:
    """What a mode could save (milliseconds, or bytes) in each layer, and what speaks against it."""

    mode: Mode
    savings: Mapping[str, float]
    boundaries: Mapping[str, float]
    total: float = 0.0
    """What all layers take, or weigh, in FP32."""
    errors: Mapping[str, float] = field(default_factory=dict)

    def best(self, price: float = 0.0) -> tuple[str, ...]:
        """Return the best set of layers where an error costs so much."""
        return best_set(tuple(self.savings), self.savings, self.errors, self.boundaries, price)

    def saved(self, layers: Collection[str]) -> float:
        """Return what a set should save, conversions included."""
        inside, crossed = False, 0.0
        for name in self.savings:
            crossed += self.boundaries.get(name, 0.0) * (inside != (name in layers))
            inside = name in layers
        return sum(self.savings[name] for name in layers) - crossed - self.boundaries.get("", 0.0) * inside
