"""Counters of two versions under made-up requests, as a server would count them: for figures of an analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mlopt.rollout.observed import Observed, together

EDGES = tuple(float(each) for each in np.round(0.001 * 1.1 ** np.arange(0, 97), 6))
"""1 ms to 10 s, each a tenth above the last."""


@dataclass(frozen=True)
class Behaviour:
    """How a version answers."""

    errors: float = 0.0
    """The share that is answered with 5xx."""
    median_s: float = 0.02
    spread: float = 0.5
    """The standard deviation of the logarithm of a time."""
    different: float = 0.0
    """The share of compared answers that differ."""
    drift: float = 0.0
    """The standard deviation, from window to window, of the logarithm of the median: requests resemble neighbours."""


def readings(
    rng: np.random.Generator, behaviours: Mapping[str, Behaviour], per_s: Mapping[str, float], *, every_s: float = 5.0,
    mirrored: Mapping[str, float] | None = None, drift: float = 0.0,
) -> Iterator[Mapping[str, Observed]]:  # fmt: skip
    """Yield one reading after the other, the first at once; ``drift`` is what both have in common."""
    totals = {digest: Observed() for digest in behaviours}
    yield dict(totals)
    while True:
        common = float(rng.normal(0, drift)) if drift else 0.0
        for digest, one in behaviours.items():
            compared = (mirrored or {}).get(digest, 0.0) * every_s
            window = _window(rng, one, per_s[digest] * every_s, compared, common)
            totals[digest] = together([totals[digest], window])
        yield dict(totals)


def _window(rng: np.random.Generator, one: Behaviour, requests: float, compared: float, common: float) -> Observed:
    n = int(rng.poisson(requests))
    shift = common + (float(rng.normal(0, one.drift)) if one.drift else 0.0)
    times = one.median_s * np.exp(shift + one.spread * rng.standard_normal(n))
    counts = np.bincount(np.searchsorted(EDGES, times), minlength=len(EDGES) + 1)
    answers = int(rng.poisson(compared))
    different = int(rng.binomial(answers, one.different))
    return Observed(
        requests=n, errors=int(rng.binomial(n, one.errors)), edges=EDGES, counts=tuple(map(int, counts)),
        same=answers - different, different=different,
    )  # fmt: skip
