"""The rules by which other benchmark tools call a change a regression, on samples of the old and the new code.

Each is asked what it can answer: does it fail? They get every sample that mlopt's verdict took, and interleaved: in use
they would measure one after the other, so this is kinder to them than life. Each rule was read in the tool's own
source, in the repository and files that are named with it, and written anew. Not confirmed in current source: where asv
stores samples, its median (an older file was read), and criterion's two-sample bootstrap (seen as an excerpt).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """One tool's rule; ``fails`` takes the latencies of the old and the new code, each [calls]."""

    name: str
    limit: float
    """How many times as long the new code may take before it counts as a regression."""
    fails: Callable[[Floats, Floats], bool]


def pytest_benchmark(old: Floats, new: Floats) -> bool:
    """``--benchmark-compare-fail=median:5%``: ionelmc/pytest-benchmark, src/pytest_benchmark/utils.py.

    PercentageRegressionCheck: the percentage by which the field grew, above the threshold.
    """
    return bool(np.median(new) / np.median(old) * 100 - 100 > 5)


def asv(old: Floats, new: Floats) -> bool:
    """``asv continuous --record-samples``: airspeed-velocity/asv, asv/commands/compare.py, _is_result_better.

    Worse is a median (compute_stats of the older asv/statistics.py) beyond the factor, 1.1 by default
    (asv/commands/common_args.py), if is_different says so too (asv/_stats.py): with the samples by Mann and Whitney,
    p < 0.002. Where samples were not recorded, asv asks that 99 % intervals of the medians do not overlap.
    """
    return bool(np.median(new) > 1.1 * np.median(old)) and mann_whitney(old, new) < 0.002


def github_action_benchmark(old: Floats, new: Floats, threshold: float) -> bool:
    """``alert-threshold``, 200% by default (action.yml): benchmark-action/github-action-benchmark, src/write.ts.

    findAlerts: getRatio above the threshold. Of pytest-benchmark's results, src/extract.ts takes ``ops``, which is
    1 / mean, so that the old value / the new one is the ratio of means.
    """
    return bool(new.mean() / old.mean() > threshold)


def criterion(old: Floats, new: Floats) -> bool:
    """Performance has regressed: criterion-rs/criterion.rs (before: bheisler/criterion.rs), src/report.rs.

    compare_to_threshold: the bootstrap's 95 % interval of the relative change of means (src/analysis/compare.rs) must
    lie above the noise threshold, 1 % by default (src/lib.rs); and its t-test must give p < 0.05, which an interval
    above 1 % implies. Of the hundreds of calls and more that come in, means of resamples are normal to within the error
    of resampling, so they are drawn as such. criterion averages calls into 100 samples first; here each is a sample.
    """
    draws = np.random.default_rng(0).normal(size=(2, 4000))
    means = [x.mean() + x.std() / math.sqrt(len(x)) * z for x, z in zip((old, new), draws, strict=True)]
    return bool(np.quantile(means[1] / means[0] - 1, 0.025) > 0.01)


RULES = (
    Rule("pytest-benchmark median:5%", 1.05, pytest_benchmark),
    Rule("asv factor 1.1, p < 0.002", 1.1, asv),
    Rule("github-action-benchmark 200%", 2.0, lambda old, new: github_action_benchmark(old, new, 2.0)),
    Rule("github-action-benchmark 110%", 1.1, lambda old, new: github_action_benchmark(old, new, 1.1)),
    Rule("criterion, noise 1%", 1.01, criterion),
)


def mann_whitney(old: Floats, new: Floats) -> float:
    """Return the two-sided p of Mann and Whitney's test as asv does for more than 20 values; values without ties.

    That is the normal approximation, without correction for continuity.
    """
    m, n = len(old), len(new)
    ranks = np.empty(m + n)
    ranks[np.argsort(np.concatenate([old, new]))] = np.arange(1, m + n + 1)
    u = ranks[:m].sum() - m * (m + 1) / 2
    z = abs(u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)
    return 2 * (1 - NormalDist().cdf(z))
