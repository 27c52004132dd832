"""A candidate beside what serves, by the counts of the same time: pass, fail or inconclusive, each with its interval.

What is asked is whether the candidate is *worse by more than a limit*. It fails where the whole interval is beyond the
limit, passes where the whole is within, and is undecided in between: an equal candidate cannot pass before it was
asked often enough, and does not fail because few were unlucky.

Looks are repeated while requests come in, and a test that is repeated at 5 % errs far more often. So look number j of a
candidate may err with ``alpha / (j (j + 1))``: all of them, however many, with ``alpha`` together. Each look shares
that out evenly among what it tests.

Requests of one moment resemble each other. Counts are taken in windows, and where their shares vary more from window to
window than independent requests would, they count as fewer (``binomial.dispersion``).

A histogram knows a quantile only to the bucket. Its interval ends at edges, and reaches as far as requests and edges
leave open: a ratio that two edges cannot tell from its limit is undecided, however many requests there are.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from mlopt.results.section import Verdict
from mlopt.rollout.binomial import Interval, at_most, difference_interval, dispersion, share_interval
from mlopt.rollout.observed import Observed, together

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_NEEDED = ("p50", "p95")
"""What a pass takes; the others can only fail, as it takes too many requests to show that they are well."""
_TESTS = 2 + len(QUANTILES)


@dataclass(frozen=True)
class CanaryLimits:
    """How much worse a candidate may be."""

    errors: float = 0.01
    """More errors, as a share of the requests."""
    slower: float = 1.5
    """Times as slow, at each quantile."""
    different: float = 0.01
    """Answers that are not those of what serves, as a share of those that were compared."""
    alpha: float = 0.01
    """How often an equal candidate may fail, all looks together."""


@dataclass(frozen=True)
class CanaryFinding:
    """One thing that was compared."""

    metric: str
    verdict: Verdict
    value: float | None
    interval: Interval
    limit: float
    n: int
    """The candidate's requests, or answers, that it is made of."""
    needed: bool
    """Whether a pass takes it."""

    @property
    def text(self) -> str:
        """Say it in one line."""
        low, high = (f"{each:.4g}" if math.isfinite(each) else "more than was counted" for each in self.interval)
        value = "nothing" if self.value is None else f"{self.value:.4g}"
        return f"{self.verdict:<12} {self.metric}: {value} [{low}, {high}], at most {self.limit:g}, n = {self.n:,}"


def alpha_of(look: int, alpha: float) -> float:
    """Return how often look number ``look`` of a candidate, from 1 on, may err."""
    return alpha / (look * (look + 1))


def judge(
    stable: Sequence[Observed], candidate: Sequence[Observed], limits: CanaryLimits, look: int
) -> tuple[CanaryFinding, ...]:
    """Judge all windows so far, of both in the same order."""
    alpha = alpha_of(look, limits.alpha) / _TESTS
    answers = _answers(candidate, limits.different, alpha)
    times = [_slower(stable, candidate, name, limits.slower, alpha) for name in QUANTILES]
    return (_errors(stable, candidate, limits.errors, alpha), *answers, *times)


def overall(findings: Sequence[CanaryFinding]) -> Verdict:
    """Return fail if anything fails, pass if all passes that a pass takes, else inconclusive."""
    if any(each.verdict == "fail" for each in findings):
        return "fail"
    return "pass" if all(each.verdict == "pass" for each in findings if each.needed) else "inconclusive"


def _errors(stable: Sequence[Observed], candidate: Sequence[Observed], limit: float, alpha: float) -> CanaryFinding:
    one, other = (_counted([each.errors for each in some], [each.requests for each in some])
                  for some in (candidate, stable))  # fmt: skip
    interval = difference_interval(one, other, alpha)
    value = one[0] / one[1] - other[0] / other[1] if one[1] and other[1] else None
    n = together(candidate).requests
    return CanaryFinding("errors, share more", _ruled(interval, limit), value, interval, limit, n=n, needed=True)


def _answers(candidate: Sequence[Observed], limit: float, alpha: float) -> tuple[CanaryFinding, ...]:
    """Judge the answers to copies; nothing where there were none."""
    total = together(candidate)
    if not total.compared:
        return ()
    k, n = _counted([each.different + each.failed for each in candidate], [each.compared for each in candidate])
    interval = share_interval(k, n, alpha)
    verdict = _ruled(interval, limit)
    return (
        CanaryFinding("answers, share that differ", verdict, k / n, interval, limit, n=total.compared, needed=True),
    )


def _slower(
    stable: Sequence[Observed], candidate: Sequence[Observed], name: str, limit: float, alpha: float
) -> CanaryFinding:
    quantile = QUANTILES[name]
    low, high = quantile_interval(candidate, quantile, alpha)
    low_of_stable, high_of_stable = quantile_interval(stable, quantile, alpha)
    interval = low / high_of_stable, high / low_of_stable if low_of_stable > 0 else math.inf
    middles = middle(together(candidate), quantile), middle(together(stable), quantile)
    value = middles[0] / middles[1] if middles[0] and middles[1] else None
    metric, n = f"latency {name}, times", together(candidate).timed
    return CanaryFinding(metric, _ruled(interval, limit), value, interval, limit, n=n, needed=name in _NEEDED)


def quantile_interval(blocks: Sequence[Observed], quantile: float, alpha: float) -> Interval:
    """Return between which edges a quantile lies, in seconds: 0 to infinity where the requests cannot tell.

    An edge is known to lie below the quantile where, if it did not, so few requests would be below it in at most
    ``alpha`` / 2 of cases; and above it likewise.
    """
    total = together(blocks)
    if not total.timed or not total.edges:
        return 0.0, math.inf
    so_far = list(accumulate(total.counts[:-1]))
    at = min(range(len(so_far)), key=lambda one: abs(so_far[one] / total.timed - quantile))
    timed = [each for each in blocks if each.counts and each.edges == total.edges]
    shrink = dispersion([each.below(at) for each in timed], [each.timed for each in timed])
    n = total.timed / shrink
    below = [count / shrink for count in so_far]
    under = bisect_left(below, True, key=lambda k: at_most(k, n, quantile) >= alpha / 2)
    above = bisect_left(below, True, key=lambda k: 1 - at_most(k - 1, n, quantile) <= alpha / 2)
    low = max(total.edges[under - 1] - total.blur_s, 0.0) if under else 0.0
    return low, total.edges[above] + total.blur_s if above < len(below) else math.inf


def middle(total: Observed, quantile: float) -> float | None:
    """Return a quantile as it would be if times were spread evenly in its bucket; None where it is in the last."""
    wanted, seen, start = quantile * total.timed, 0, 0.0
    for edge, count in zip(total.edges, total.counts, strict=False):
        if count and seen + count >= wanted:
            return start + (edge - start) * (wanted - seen) / count
        seen, start = seen + count, edge
    return None


def _counted(hits: Sequence[int], sizes: Sequence[int]) -> tuple[float, float]:
    """Return hits and requests, both fewer where windows vary more than independent requests would."""
    shrink = dispersion(hits, sizes)
    return sum(hits) / shrink, sum(sizes) / shrink


def _ruled(interval: Interval, limit: float) -> Verdict:
    if interval[1] <= limit:
        return "pass"
    return "fail" if interval[0] > limit else "inconclusive"
