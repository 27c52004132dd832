"""What a mode is expected to save, layer by layer, before a version is written in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


def boundaries(layers: Sequence[str], sizes: Mapping[str, int], spent_ms: float) -> dict[str, float]:
    """Return what it costs that the values before each layer (and after the last: "") change their type.

    In proportion to their number, ``sizes``, by what the conversions at both ends of a model that is all INT8 take.
    """
    if not layers:
        return {}
    ends = sizes.get(layers[0], 0) + sizes.get("", 0)
    each = max(spent_ms, 0.0) / ends if ends else 0.0
    return {name: each * sizes.get(name, 0) for name in (*layers, "")}
