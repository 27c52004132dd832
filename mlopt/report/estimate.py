"""Figures with their intervals, and what becomes of both in a difference or a ratio: plain arithmetic."""

from __future__ import annotations

import math

from mlopt.results.section import Interval

Estimate = tuple[float, Interval]
_LARGEST_LOG = 700.0


def minus(x: Estimate, y: Estimate) -> Estimate:
    """Return x - y of two independent estimates: half-widths add as squares, each side with the one that opposes it.

    This is Newcombe's (1998) hybrid interval; Zou and Donner (2008) show it for any two estimates.
    """
    middle = x[0] - y[0]
    below = math.hypot(x[0] - x[1][0], y[1][1] - y[0])
    above = math.hypot(x[1][1] - x[0], y[0] - y[1][0])
    return middle, (middle - below, middle + above)


def over(x: Estimate, y: Estimate) -> Estimate | None:
    """Return x / y, the same in logarithms; None if a figure is not positive."""
    if min(x[0], *x[1], y[0], *y[1]) <= 0:
        return None
    return exponential(minus(logarithm(x), logarithm(y)))


def logarithm(estimate: Estimate) -> Estimate:
    """Return the estimate of the figure's logarithm; the figure and its interval are positive."""
    middle, (low, high) = estimate
    return math.log(middle), (math.log(low), math.log(high))


def exponential(estimate: Estimate) -> Estimate:
    """Undo ``logarithm``; what would be too large to compute with is cut."""
    middle, low, high = (math.exp(min(log, _LARGEST_LOG)) for log in (estimate[0], *estimate[1]))
    return middle, (low, high)
