"""When requests are to be sent, with which sample, and to which server: drawn before the first one is, by a seed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

_TIMES, _SAMPLES, _SERVERS = 0, 1, 2
"""Streams of one seed: what is drawn for one purpose does not depend on what is drawn for another."""


def moments(rate: float, seconds: float, seed: int, *, constant: bool = False) -> Floats:
    """Return the moments [requests] in seconds from the beginning, ascending, all before ``seconds``.

    A Poisson stream of ``rate`` a second, whose gaps are exponential: users do not know of each other. Or, if
    ``constant``, one request every 1 / ``rate`` seconds, the first at once.
    """
    if constant:
        return np.arange(math.ceil(rate * seconds - 1e-9)) / rate
    random, found = np.random.default_rng((seed, _TIMES)), np.zeros(0)
    few = max(16, math.ceil(1.1 * rate * seconds))
    while not len(found) or found[-1] < seconds:
        last = found[-1] if len(found) else 0.0
        found = np.concatenate([found, last + np.cumsum(random.exponential(1 / rate, few))])
    return found[found < seconds]


def samples(count: int, different: int, seed: int) -> Numbers:
    """Return which sample each request carries [count]: all of them in a random order, then in another."""
    return _in_turns(count, different, np.random.default_rng((seed, _SAMPLES)))


def servers(count: int, different: int, seed: int) -> Numbers:
    """Return which server each request goes to [count]: of as many in a row as there are servers, one to each.

    Their order is random, so that nobody is always the one who comes second.
    """
    return _in_turns(count, different, np.random.default_rng((seed, _SERVERS)))


def _in_turns(count: int, different: int, random: np.random.Generator) -> Numbers:
    turns = [random.permutation(different) for _ in range(-(-count // different))]
    return np.concatenate([*turns, np.zeros(0, np.intp)])[:count].astype(np.intp)
