"""Machines that disturb a measurement the way real ones do, simulated so that the truth is known.

A machine is a path of slowness over wall time, and noise on every call. Three candidates (the baseline, the baseline
again, the new one) take turns on it exactly as mlopt lets them: rounds of two blocks each in random order and back
(ABBA), 0.1 s of settling before every block whose candidate did not run just before; where only the new one is still
undecided, it goes on alone. The clock runs on while they work, so a slow spell hits whoever runs in it, and lasts as
long for a slow candidate as for a fast one.

All three machines have the noise of the first one; nothing here may be tuned to make a verdict come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MACHINES = ("drift and spikes", "bursts", "slow drift")
CALLS = 25
CALL = 0.004
"""Seconds that one call of the baseline takes on an undisturbed machine."""
SETTLE = 0.1
NOISE, CORRELATION = 0.05, 0.9
SPIKES, SPIKE = 0.03, (1.5, 4.0)
DRIFT = 0.12
SPELL, SPELL_FACTOR, BETWEEN_SPELLS = (0.2, 2.0), (1.3, 2.5), 5.0
SLOW_DRIFT, WALK = 0.30, 0.01
"""The walk's standard deviation after one second; after 100 s it is ten times that."""

_STEP = 0.002  # s, the grid of the path
_BIN = 0.0005  # of log slowness
_NEW = 2


@dataclass(frozen=True)
class Machine:
    """One machine in one run: its state over time, and the noise of the calls; the same for every candidate pair."""

    clock: Floats
    """Wall time in seconds at the points of the path."""
    done: Floats
    """Seconds of undisturbed work done by then."""
    slowness: Floats
    turns: NDArray[np.int64]
    """The candidate, 0 to 2, at every position: [rounds, 6]."""
    settle: Floats
    """Seconds of work before every block: [rounds, 6]."""
    present: NDArray[np.bool_]
    """Whether the candidate runs in this round: [rounds, 6]."""
    noise: Floats
    """Factors on the calls: [blocks, CALLS], of the blocks that run."""


@dataclass(frozen=True)
class Run:
    """What was measured: blocks of latencies in seconds, [2 * rounds, CALLS] each, and when each round ended."""

    base: Floats
    """Of the baseline and its copy there are fewer rounds if the new one went on alone."""
    again: Floats
    new: Floats
    ends: Floats
    """Work done at the end of each round, [rounds]."""


def machine(kind: str, seed: int, rounds: int, together: int | None = None, slowest: float = 1.0) -> Machine:
    """Draw one machine for a run of so many rounds, in which the new model takes up to ``slowest`` times as long.

    After the rounds ``together`` (all, if not given) the new one goes on alone; 0 is for the new one alone throughout.
    """
    random = np.random.default_rng([seed, MACHINES.index(kind)])
    order = random.permuted(np.tile(np.arange(3), (rounds, 1)), axis=1)
    turns = np.hstack([order, order[:, ::-1]])
    present = (turns == _NEW) | (np.arange(rounds) < (rounds if together is None else together))[:, None]
    alone = present.sum(axis=1, keepdims=True) == 2
    settle = np.where(present & ~alone & (np.arange(6) != 3), SETTLE, 0.0)  # at 3 the candidate of 2 runs on
    work = float((settle + present * CALLS * CALL * np.where(turns == _NEW, slowest, 1.0)).sum())
    clock = np.arange(0.0, 2 * work, _STEP)
    slowness = {"drift and spikes": _drift, "bursts": _bursts, "slow drift": _slow_drift}[kind](random, clock, work)
    done = np.concatenate([[0.0], np.cumsum(_STEP / slowness)[:-1]])
    return Machine(clock, done, slowness, turns, settle, present, _call_noise(random, settle, present))


def run(on: Machine, factor: float) -> Run:
    """Let the three candidates take turns; a call of the new one takes ``factor`` times as long as the baseline's."""
    cost = on.present * np.where(on.turns == _NEW, factor, 1.0) * CALL
    ends = np.cumsum(on.settle + CALLS * cost).reshape(cost.shape)
    edges = ends[on.present][:, None] + np.arange(-CALLS, 1) * cost[on.present][:, None]
    times = np.diff(np.interp(edges.ravel(), on.done, on.clock).reshape(edges.shape), axis=1) * on.noise
    base, again, new = (times[on.turns[on.present] == candidate] for candidate in range(3))
    return Run(base, again, new, ends[:, -1])


def true_quantile(on: Machine, ends: Floats, factor: float, quantile: float) -> float:
    """Return the quantile of the latencies, in seconds, over the rounds that end when so much work is done.

    It is that of calls made through the whole of every round, all rounds counting alike: the mixture of the noise over
    this run's own path of slowness, which is both distributions of logarithms, convolved.
    """
    points = np.searchsorted(on.done, ends, side="right")  # of the path, until the end of each round
    weights = np.diff(on.done[: points[-1] + 1]) / np.repeat(np.diff(ends, prepend=0.0), np.diff(points, prepend=0))
    logs = np.round(np.log(on.slowness[: points[-1]]) / _BIN).astype(np.int64)
    lowest = int(logs.min())
    path = np.bincount(logs - lowest, weights)
    first, noise = _noise_distribution()
    shares = np.cumsum(np.convolve(path / path.sum(), noise))
    return factor * CALL * math.exp(_BIN * (lowest + first + int(np.searchsorted(shares, quantile))))


def _call_noise(random: np.random.Generator, settle: Floats, present: NDArray[np.bool_]) -> Floats:
    """Return the factors on all calls that run, correlated from one to the next through blocks and settling alike."""
    sizes = np.round(settle / CALL).astype(np.int64) + CALLS * present
    starts = np.cumsum(sizes).reshape(sizes.shape)[present] - CALLS
    noise: Floats = np.exp(NOISE * correlated(random, int(sizes.sum())))[starts[:, None] + np.arange(CALLS)]
    spiked = random.random(noise.shape) < SPIKES
    noise[spiked] *= random.uniform(*SPIKE, np.count_nonzero(spiked))
    return noise


def correlated(random: np.random.Generator, n: int) -> Floats:
    """Return n standard normal values, each with the correlation ``CORRELATION`` to the one before."""
    values: Floats = random.normal(size=n) * math.sqrt(1 - CORRELATION**2)
    values[0] /= math.sqrt(1 - CORRELATION**2)
    reach = 1
    while reach < n and CORRELATION**reach > 1e-9:  # each pass doubles how many past shocks are summed
        values[reach:] = values[reach:] + CORRELATION**reach * values[:-reach]
        reach *= 2
    return values


def _drift(random: np.random.Generator, clock: Floats, work: float) -> Floats:
    waves = random.uniform(1, 7)  # radians over the run
    slowness: Floats = 1 + DRIFT * np.sin(waves * clock / work + random.uniform(0, 2 * math.pi))
    return slowness


def _bursts(random: np.random.Generator, clock: Floats, work: float) -> Floats:
    slowness = _drift(random, clock, work)
    now = random.exponential(BETWEEN_SPELLS)
    while now < clock[-1]:
        end = now + random.uniform(*SPELL)
        slowness[round(now / _STEP) : round(end / _STEP)] *= random.uniform(*SPELL_FACTOR)
        now = end + random.exponential(BETWEEN_SPELLS)
    return slowness


def _slow_drift(random: np.random.Generator, clock: Floats, work: float) -> Floats:
    walk = np.cumsum(random.normal(size=len(clock))) * WALK * math.sqrt(_STEP)
    direction = random.choice([-1, 1])
    slowness: Floats = np.exp(direction * math.log1p(SLOW_DRIFT) * clock / work + walk)
    return slowness


@lru_cache(maxsize=1)
def _noise_distribution() -> tuple[int, Floats]:
    """Return the share of calls in every bin of log noise, and the number of the first bin."""
    points = (np.arange(20_000) + 0.5) / 20_000
    normal = np.arange(-6 * NOISE, 6 * NOISE, _BIN)
    plain = np.exp(-((normal / NOISE) ** 2) / 2)
    spike = np.round(np.log(SPIKE[0] + points * (SPIKE[1] - SPIKE[0])) / _BIN).astype(np.int64)
    factors = np.zeros(int(spike.max()) + 1)
    factors[0] = 1 - SPIKES
    factors += SPIKES * np.bincount(spike) / len(spike)
    return round(float(normal[0]) / _BIN), np.convolve(plain / plain.sum(), factors)
