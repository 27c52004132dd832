"""What the A/A control says about a run: whether its ratios stand, and by how much they may be off if not."""

from __future__ import annotations

from mlopt.report.schema import Speedup

_SLIGHT = 1.03


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
