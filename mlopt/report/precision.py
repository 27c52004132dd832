"""The precisions that layers really ran in, as the runtime reports them: what was asked for may not be what ran."""

from __future__ import annotations

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.results.figures import LayerPrecision
from mlopt.results.report import Report

_MOST_MODELS, _MOST = 4, 6
_UNKNOWN = "of a precision that is not told"


def lines(report: Report) -> tuple[str, ...]:
    """Return a sentence for each model whose runtime tells."""
    known = [(name, found) for name, found in report.layers.items() if found]
    return tuple(f"Precision that ran in {plain(name)}: {_told(found)}." for name, found in known[:_MOST_MODELS])


def _told(found: tuple[LayerPrecision, ...]) -> str:
    first, rest = found[:_MOST], found[_MOST:]
    parts = [
        f"{one.layers:,}{_noun(one) if place == 0 else ''} {plain(one.precision) or _UNKNOWN}{_share(one, place)}"
        for place, one in enumerate(first)
    ]
    others = [f"{sum(one.layers for one in rest):,} in {len(rest)} other precisions"] if rest else []
    return ", ".join(parts + others)


def _noun(one: LayerPrecision) -> str:
    return " layer" if one.layers == 1 else " layers"


def _share(one: LayerPrecision, place: int) -> str:
    if one.share is None:
        return ""
    return f" ({facts.percent(one.share, 1)}{' of the time' if place == 0 else ''})"
