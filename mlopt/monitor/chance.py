"""How far two samples of one distribution come apart by chance: simulated for what is compared, before it is compared.

Of each thing, the reference and the live rows are drawn anew many times from the reference's shares, at their own
numbers of rows, and what the sketches themselves add is drawn with them: an error of KLL is normal, has the deviation
that the library states, and those of two ranks are correlated by a half (of each compaction, both ranks see the same
sign, and each sees it if an odd number of values lies below). Things are taken as independent; if they are not, false
alarms are rarer. Each figure's own 99th percentile is its scale, and one factor for all scales is the quantile of the
largest figure of a look, so the rate is that of a whole look, however many things are compared. Of a PSI the square
root counts there: it grows with a difference like a shift, so neither widens the limits of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mlopt.monitor.compare import ComparedPair, Shares, psi, shift

FALSE_ALARM = 1e-4
"""How often a look at unchanged data may raise an alarm, of all that is compared together."""
_LOOKS, _FEW_LOOKS, _MANY = 20_000, 10_000, 40
_SCALE = 0.99
_RARE = (1e-2, 1e-3)
_TINY = 1e-12


@dataclass(frozen=True)
class ChanceLimits:
    """What chance alone does not exceed."""

    shift: float
    psi: float


def limits(compared: Sequence[ComparedPair], rate: float = FALSE_ALARM, seed: int = 0) -> list[ChanceLimits]:
    """Return the limits of each pair: any of them is exceeded in a share of ``rate`` of looks at unchanged data.

    Nothing of the live side but its numbers of rows, and whether its sketches hold every value, plays a part.
    """
    return list(_limits(tuple(map(_case, compared)), rate, seed))


@dataclass(frozen=True)
class _Side:
    rows: int
    noise: float


@dataclass(frozen=True)
class _Case:
    """What limits depend on."""

    shares: tuple[float, ...]
    reference: _Side
    live: _Side
    ordered: bool


def _case(pair: ComparedPair) -> _Case:
    shares = tuple(map(float, pair.reference.shares / pair.reference.shares.sum()))
    sides = [_Side(side.rows, side.noise) for side in (pair.reference, pair.live)]
    return _Case(shares, sides[0], sides[1], pair.ordered)


@lru_cache(maxsize=16)
def _limits(cases: tuple[_Case, ...], rate: float, seed: int) -> tuple[ChanceLimits, ...]:
    looks = _LOOKS if len(cases) <= _MANY else _FEW_LOOKS
    rng = np.random.default_rng(seed)
    largest = np.zeros(looks)
    scales = []
    for case in cases:
        drawn = _drawn(case, looks, rng)
        scales.append([max(float(np.quantile(figures, _SCALE)), _TINY) for figures in drawn])
        for figures, scale in zip(drawn, scales[-1], strict=True):
            np.maximum(largest, figures / scale, out=largest)
    factor = _beyond(largest, rate) if cases else 1.0
    return tuple(ChanceLimits(factor * of_shift, (factor * of_psi) ** 2) for of_shift, of_psi in scales)


def _beyond(largest: Shares, rate: float) -> float:
    """Return what the largest figure of a look exceeds in a share of ``rate`` of looks.

    The tail is that of a normal distribution, so the logarithm of the rate falls with the square of the figure; what is
    rarer than the looks can show is read off that line through the rates of 1 in 100 and 1 in 1,000.
    """
    if rate >= _RARE[1]:
        return float(np.quantile(largest, 1 - rate, method="higher"))
    usual, rare = (float(np.quantile(largest, 1 - each)) ** 2 for each in _RARE)
    return float(np.sqrt(rare + (rare - usual) * np.log(_RARE[1] / rate) / np.log(_RARE[0] / _RARE[1])))


def _drawn(case: _Case, looks: int, rng: np.random.Generator) -> tuple[Shares, Shares]:
    """Return the shift, and the root of the PSI, of each look at rows that are all drawn from the reference."""
    shares = np.array(case.shares)
    a, b = (_looks(shares, side, looks, rng) for side in (case.reference, case.live))
    moved = shift(a, b) if case.ordered else np.zeros(looks)
    return moved, np.sqrt(psi(a, b, case.reference.rows, case.live.rows))


def _looks(shares: Shares, side: _Side, looks: int, rng: np.random.Generator) -> Shares:
    """Return what a sketch of so many rows may say of the bins' shares: [looks, bins]."""
    found = rng.multinomial(side.rows, shares, size=looks) / side.rows
    if side.noise == 0 or len(shares) < 2:
        return np.asarray(found)
    sums = np.cumsum(found, axis=1)[:, :-1]
    common, own = rng.standard_normal((looks, 1)), rng.standard_normal(sums.shape)
    sums = np.clip(sums + side.noise * np.sqrt(0.5) * (common + own), 0.0, 1.0)
    sums = np.maximum.accumulate(sums, axis=1)
    return np.diff(sums, axis=1, prepend=0.0, append=1.0)
