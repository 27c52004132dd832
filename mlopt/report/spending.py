"""What a run took, by phase, in words."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 0.02
"""The share of the whole from which a phase is told by itself."""


def shares(took: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return name, seconds and share of each phase that is worth telling, the longest first; then all others as one."""
    whole = sum(took.values())
    if whole <= 0:
        return []
    told = sorted(((name, spent) for name, spent in took.items() if spent >= _SHOWN * whole), key=lambda each: -each[1])
    rest = whole - sum(spent for _, spent in told)
    rows = [*told, ("the rest", rest)] if len(told) < len(took) and rest > 0 else told
    return [(name, spent, spent / whole) for name, spent in rows]


def sentence(took: Mapping[str, float]) -> str:
    """Say what a run took; nothing of one that tells no times."""
    rows = shares(took)
    if not rows:
        return ""
    parts = "; ".join(f"{name} {seconds(spent)} ({share:.0%})" for name, spent, share in rows)
    return f"took {seconds(sum(took.values()))}: {parts}"


def seconds(spent: float) -> str:
    """Return a time with as many digits as it deserves: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    whole = round(spent)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{spent:.1f} s" if spent < 10 else f"{whole} s"
