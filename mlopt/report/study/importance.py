"""How much each setting mattered in a study, estimated from the few and uneven trials that a search leaves.

The estimate is a variance decomposition of an additive model, kept modest:

1. Each parameter becomes one column for each of its values, centred among the trials in which it means something and
   zero in the others: so a setting of a step is not credited with the step itself.
2. The logarithm of the latency is fitted by ridge regression on all columns at once, which tells parameters apart that
   the search moved together. How much it shrinks is what leaves the smallest leave-one-out error; where no fit predicts
   better than the mean, nothing is credited at all.
3. A parameter's share is the covariance of its part of the fit with the observations, over their variance, less what
   as many columns would get from noise alone; shares below zero are zero.

Limits: interplay of parameters is credited to none of them, and what a search hardly varied cannot be told apart. The
shares add up to at most 1; what is missing is interplay and noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlopt.report.study.analysis import level
from mlopt.results.study import SearchParameter, TrialRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_TRIALS = 8
"""With fewer, anything could be read into them."""
_MOST_LEVELS = 64
"""A parameter with more values, or all of them with more than 512, is a stranger's, and no fit is worth its while."""
_MOST_COLUMNS = 512
_PENALTIES = tuple(10 ** (power / 4) for power in range(-12, 17))


def importance(trials: Iterable[TrialRecord], space: Sequence[SearchParameter]) -> dict[str, float]:
    """Return each parameter's share of the variance of log latency among measured trials, the largest first.

    Parameters that were not varied among them are left out; with fewer than ``LEAST_TRIALS`` all are.
    """
    import numpy as np

    known = [one for one in sorted(trials, key=_order) if one.status == "measured" and (one.latency_ms or 0) > 0]
    if len(known) < LEAST_TRIALS:
        return {}
    observed = np.log([one.latency_ms or 1.0 for one in known])
    observed -= observed.mean()
    names = dict.fromkeys(one.name for one in space)
    blocks = {name: block for name in names if (block := _columns(name, known)) is not None}
    if not blocks or not float(observed @ observed) > 1e-12 or sum(b.shape[1] for b in blocks.values()) > _MOST_COLUMNS:
        return dict.fromkeys(blocks, 0.0)
    shares = _shares(blocks, observed)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _order(trial: TrialRecord) -> tuple[int, str]:
    return trial.number, trial.model_dump_json()


def _columns(name: str, trials: Sequence[TrialRecord]) -> Floats | None:
    """Return [trials, values] of one parameter; None if it was not varied."""
    import numpy as np

    levels = [level(one.params[name]) if name in one.params else None for one in trials]
    seen = sorted({one for one in levels if one is not None})
    if not 2 <= len(seen) <= _MOST_LEVELS:
        return None
    means_something = np.array([one is not None for one in levels])
    block = np.array([[float(one == each) for each in seen] for one in levels])
    block[means_something] -= block[means_something].mean(axis=0)
    return block


def _shares(blocks: dict[str, Floats], observed: Floats) -> dict[str, float]:
    import numpy as np

    found = _fit(np.hstack(list(blocks.values())), observed)
    if found is None:
        return dict.fromkeys(blocks, 0.0)
    weights, noise = found
    total, start = float(observed @ observed), 0
    shares = {}
    for name, block in blocks.items():
        part = block @ weights[start : start + block.shape[1]]
        start += block.shape[1]
        expected = (block.shape[1] - 1) * noise
        shares[name] = max(0.0, (float(part @ observed) - expected) / total)
    over = max(1.0, math.fsum(shares.values()))
    return {name: math.floor(share / over * 1e4) / 1e4 for name, share in shares.items()}


def _fit(columns: Floats, observed: Floats) -> tuple[Floats, float] | None:
    """Return weights and the variance of the noise; None where no fit predicts better than the mean does."""
    import numpy as np

    left, sizes, right = np.linalg.svd(columns, full_matrices=False)
    count = len(observed)
    best, least = None, float(np.sum((observed * count / (count - 1)) ** 2))
    for penalty in _PENALTIES:
        kept = sizes**2 / (sizes**2 + penalty)
        errors = observed - left @ (kept * (left.T @ observed))
        leverage = 1 / count + (left**2) @ kept
        left_out = float(np.sum((errors / np.maximum(1 - leverage, 1e-9)) ** 2))
        if left_out < least:
            freedom = max(1.0, count - 1 - float(kept.sum()))
            weights = right.T @ (sizes / (sizes**2 + penalty) * (left.T @ observed))
            best, least = (weights, float(errors @ errors) / freedom), left_out
    return best
