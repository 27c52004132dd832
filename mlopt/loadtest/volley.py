"""What became of requests: plain arrays, one entry for each that was to be sent, in the order of their moments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlopt.loadtest.arrivals import Floats, Numbers

UNSENT, TIMEOUT, CONNECTION, UNREADABLE, WRONG, DIGEST = (
    "unsent", "timeout", "connection", "unreadable", "wrong", "digest",
)  # fmt: skip
"""Kinds of failure; one that the server told is ``http_`` and its code."""


@dataclass
class Volley:
    """Times are seconds from the beginning; NaN where there was none."""

    moments: Floats
    """When each was to be sent."""
    sent: Floats
    done: Floats
    failed: list[str | None]
    """The kind of failure, or None."""
    examples: dict[str, str] = field(default_factory=dict)
    """What the first of each kind was, in words."""
    in_flight: int = 0
    """The most that were under way at a time."""

    @classmethod
    def planned(cls, moments: Floats) -> Volley:
        """Return one of which nothing has been sent."""
        nothing = np.full(len(moments), np.nan)
        return cls(moments, nothing, nothing.copy(), [None] * len(moments))

    def fail(self, number: int, kind: str, why: str) -> None:
        """Note that a request failed."""
        self.failed[number] = kind
        self.examples.setdefault(kind, why)

    def part(self, chosen: Numbers) -> Volley:
        """Return some of the requests, by number."""
        failed = [self.failed[number] for number in chosen]
        told = {kind: why for kind, why in self.examples.items() if kind in failed}
        return Volley(self.moments[chosen], self.sent[chosen], self.done[chosen], failed, told, self.in_flight)


def joined(volleys: list[Volley], seconds: float) -> Volley:
    """Return several of ``seconds`` each as one, as if they had followed each other at once."""
    shifts = [number * seconds for number in range(len(volleys))]

    def one(name: str) -> Floats:
        return np.concatenate([getattr(each, name) + shift for each, shift in zip(volleys, shifts, strict=True)])

    examples: dict[str, str] = {}
    for each in volleys:
        examples = each.examples | examples
    failed = [kind for each in volleys for kind in each.failed]
    most = max(each.in_flight for each in volleys)
    return Volley(one("moments"), one("sent"), one("done"), failed, examples, most)
