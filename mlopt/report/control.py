"""What the A/A control says about a run: whether its ratios stand, and by how much they may be off if not."""

from __future__ import annotations

from typing import Literal

from mlopt.results.figures import Speedup
from mlopt.results.report import CandidateRecord, Report
from mlopt.results.section import Interval

_SLIGHT = 1.03
_NOTICED, _WIDE = 1.05, 1.25
"""A ratio, and an end of an interval, from which "no difference" would say more than the run can."""


def doubt(speedup: Speedup, run: str) -> str | None:
    """Return why ratios of ``run`` are doubted: its A/A control found a difference where there is none."""
    if speedup.control is None or speedup.control[0] <= 1 <= speedup.control[1]:
        return None
    low, high = speedup.control
    return (
        f"{run} measured one model twice and found the copies {low:.4g} to {high:.4g} times as fast as each other, "
        "which excludes 1: the machine changed meanwhile"
    )


def slight(speedup: Speedup) -> bool:
    """Whether a doubted run is off by so little that its ratios are worth reading, with that allowed for."""
    return 1.0 < reach(speedup) <= _SLIGHT


def reach(speedup: Speedup) -> float:
    """Return the factor by which a doubted ratio may be off, by what the A/A control found; 1 if it is not doubted."""
    if doubt(speedup, "") is None or speedup.control is None or speedup.control[0] <= 0:
        return 1.0
    return max(speedup.control[1], 1 / speedup.control[0])


def distrusted(speedup: Speedup) -> bool:
    """Return whether the A/A control excludes 1: the machine changed under the run, and no ratio holds as it stands."""
    return doubt(speedup, "this run") is not None


def credible(speedup: Speedup) -> Interval:
    """Return the interval of a ratio, widened either way by as much as a distrusted run's control was off."""
    factor = reach(speedup)
    return speedup.ci95[0] / factor, speedup.ci95[1] * factor


def beyond_noise(speedup: Speedup) -> Literal[-1, 0, 1]:
    """Return 1 for measurably faster, -1 for measurably slower, 0 where it could be noise.

    Measurable means that the interval excludes 1, widened if need be (``credible``), and that the ratio is further from
    1 than the A/A control's. Headlines, trials and gates all ask this, so that none contradicts the others.
    """
    low, high = credible(speedup)
    side = outside(speedup.median, speedup.noise_floor)
    return side if (side > 0 and low > 1) or (side < 0 and high < 1) else 0


def outside(ratio: float, noise_floor: float) -> Literal[-1, 0, 1]:
    """Return on which side of 1 a ratio lies, 0 where it is no further from it than the noise floor."""
    if ratio > 1 + noise_floor:
        return 1
    return -1 if ratio * (1 + noise_floor) < 1 else 0


def hidden(speedup: Speedup) -> bool:
    """Whether the run was too noisy to tell: a difference may well be there, and could as well be noise."""
    low, high = credible(speedup)
    notable = not 1 / _NOTICED <= speedup.median <= _NOTICED
    return beyond_noise(speedup) == 0 and (notable or low < 1 / _WIDE or high > _WIDE)


def is_same(report: Report, vs: str) -> bool:
    """Tell whether the final model is the reference ``vs`` itself, run alike: neither is faster, whatever was seen."""
    alone = report.speedup.vs == report.final.name
    return not alone and runs_alike(report.final, report.references.get(vs, report.baseline))


def runs_alike(one: CandidateRecord, other: CandidateRecord) -> bool:
    """Tell whether two candidates are the same model, run in the same way."""
    keys = ("digest", "runtime", "options", "batch_size")
    return all(getattr(one, key) == getattr(other, key) for key in keys)
