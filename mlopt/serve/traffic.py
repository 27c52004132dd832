"""Who answers how much: percent of the requests of a model to each of its versions, and what is mirrored to whom.

Pure, and frozen: a change is a new ``Traffic`` in the place of the old, so no request sees half of one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlopt.serve.faults import AnswerError, bad

WHOLE = 100.0


@dataclass(frozen=True)
class Traffic:
    """Percent by digest."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """They come to 100."""
    shadow: Mapping[str, float] = field(default_factory=dict)
    """Of the requests that others answer: so much is asked of this version as well, whose answer nobody gets."""

    def chosen(self, point: float) -> str | None:
        """Return who answers the request at this point of [0, 1); None if nobody does."""
        left = point * WHOLE
        taking = [(digest, weight) for digest, weight in self.weights.items() if weight]
        for digest, weight in taking:
            left -= weight
            if left < 0:
                return digest
        return taking[-1][0] if taking else None  # weights of 33.3 come to a hair less than 100

    def weight(self, digest: str) -> float:
        """Return the percent that a version answers."""
        return self.weights.get(digest, 0.0)

    def without(self, digest: str, heir: str | None = None) -> Traffic:
        """Return the same without a version, whose share another one takes."""
        weights = {each: weight for each, weight in self.weights.items() if each != digest}
        if heir is not None and self.weight(digest):
            weights[heir] = weights.get(heir, 0.0) + self.weight(digest)
        return Traffic(weights, {each: share for each, share in self.shadow.items() if each not in (digest, heir)})


def asked(document: Any, known: Collection[str]) -> Traffic:
    """Read what the admin API is asked for; ``known`` are the digests that may serve.

    Raises ``AnswerError``: 400 for what is malformed, 409 for a digest that cannot serve.
    """
    if not isinstance(document, dict) or set(document) - {"weights", "shadow"}:
        raise bad("traffic is an object with `weights`, and `shadow` if there is any")
    weights = _percents(document.get("weights"), "weights", known)
    shadow = _percents(document.get("shadow", {}), "shadow", known)
    total = sum(weights.values())
    if not math.isclose(total, WHOLE, abs_tol=0.01):
        raise bad("weights must come to 100", f"{total:g}")
    return Traffic(weights, shadow)


def _percents(given: Any, what: str, known: Collection[str]) -> dict[str, float]:
    if not isinstance(given, dict):
        raise bad(f"`{what}` is an object of percents by digest")
    for digest, percent in given.items():
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= WHOLE:
            raise bad(f"`{what}` holds a number from 0 to 100 for each digest", str(percent)[:40])
        if digest not in known:
            raise AnswerError(409, "no version of this digest is loaded and ready", str(digest)[:80])
    return {digest: float(percent) for digest, percent in given.items()}
