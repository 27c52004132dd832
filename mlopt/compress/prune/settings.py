"""What is pruned, and by which measure: plain data, as the keys of `prune` say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Importance = Literal["magnitude", "taylor", "hessian", "bn_scale", "random"]
Scope = Literal["layer", "isomorphic", "global"]


@dataclass(frozen=True)
class Structure:
    """How channels are chosen."""

    importance: Importance = "magnitude"
    scope: Scope = "layer"
    """Where the least important are looked for: in each layer, among layers that are alike, or in all."""
    round_to: int = 8
    """Widths that are left are multiples of it."""
    most: float = 0.9
    """The largest share of a layer that may go."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Shares of layers that have one of their own, by name or pattern."""
    keep: Sequence[str] = ()
    """Layers that stay as they are: names or patterns."""
    seed: int = 0

    @property
    def needs_gradients(self) -> bool:
        """Whether importance is told by the gradients of a loss."""
        return self.importance in {"taylor", "hessian"}


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a layer is meant by one of the patterns, such as ``blocks.*.conv1``."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
