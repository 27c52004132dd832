"""What a search over versions tried: the note ``search`` of a step, as tables.

A pass that searches leaves this note, whether it found something or not; a note of another shape stays a line of JSON.
Where accuracy and speed cannot both be had, these tables are what a reader decides on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from mlopt.report import facts, sensitivity, training
from mlopt.results.section import Count, Section

NOTE = "search"


class TriedVersion(Section):
    """One version: ``layers`` of the model in the numbers that ``mode`` names."""

    mode: str
    layers: Count
    cosine: float | None
    sqnr_db: float | None
    metric: float | None
    """The recipe's metric on the samples that judge; null if it has none of its own."""
    objection: str | None
    """Why the version is not good enough; null if it is."""
    speedup: tuple[float, float, float] | None
    """Over FP32, with its interval; null if it was not measured."""
    size_bytes: Count | None = None


class LayerTimes(Section):
    """One layer in a mode: milliseconds before and after, and what it alone does to the output."""

    fp32_ms: float | None = None
    ms: float | None = None
    alone_sqnr_db: float | None = None


class SearchRecord(Section):
    """The account of one search."""

    seconds: dict[str, float]
    modes: dict[str, str]
    """For each mode: what it promised, or why it was left out."""
    front: tuple[TriedVersion, ...]
    layers: dict[str, dict[str, LayerTimes]]
    """By mode and layer."""
    chosen: Count | None = None
    """The row of ``front`` that the step went on with; null if none."""
    judged_on: Count
    remark: str = ""

    @property
    def best(self) -> TriedVersion | None:
        """The version that was chosen."""
        return self.front[self.chosen] if self.chosen is not None and self.chosen < len(self.front) else None

    @property
    def looked_into(self) -> str | None:
        """The mode whose layers tell most: the one that was chosen, else the first that was timed."""
        return self.best.mode if self.best else next(iter(self.layers), None)


def read(notes: Mapping[str, Any]) -> SearchRecord | None:
    """Return the search in a step's notes; None if there is none of this shape."""
    try:
        return SearchRecord.model_validate(notes.get(NOTE))
    except ValidationError:
        return None


def others(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes that no table and no picture shows."""
    shown = {NOTE} if read(notes) is not None else set()
    shown |= {training.NOTE} if training.read(notes) else set()
    shown |= {sensitivity.NOTE} if sensitivity.read(notes) is not None else set()
    return {key: value for key, value in notes.items() if key not in shown}


def spent(search: SearchRecord) -> str:
    """Say where the time went, in one line."""
    total = sum(search.seconds.values())
    parts = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in search.seconds.items())
    judged = f"judged on {search.judged_on:,} samples that calibrate nothing"
    return f"{total:.0f} s ({parts}); {judged}" + (f"; {search.remark}" if search.remark else "")


def versions(search: SearchRecord, metric: str = "Metric") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the heads and the rows of the table of what was tried, in the order in which it was."""
    heads = ("Numbers", "Layers", "Cosine", metric, "Size", "Speedup", "Outcome")
    rows = [
        (
            one.mode, f"{one.layers:,}",
            "" if one.cosine is None else f"{one.cosine:.4f}",
            "" if one.metric is None else facts.number(one.metric),
            "" if one.size_bytes is None else facts.size(one.size_bytes),
            "" if one.speedup is None else _speedup(*one.speedup),
            "chosen" if one is search.best else one.objection or "good enough",
        )
        for one in search.front
    ]  # fmt: skip
    return _without_empty(heads, rows)


def layers(search: SearchRecord, notes: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the heads and the rows of the table of layers, the slowest in FP32 first."""
    left = notes.get("left_alone")
    left = left if isinstance(left, Mapping) else {}
    known = search.layers.get(search.looked_into or "", {})
    heads = ("Layer", "FP32", search.looked_into or "", "SQNR if alone", "Stays in FP32")
    rows = [
        (
            name,
            "" if one.fp32_ms is None else f"{one.fp32_ms:.3f} ms",
            "" if one.ms is None else f"{one.ms:.3f} ms",
            "" if one.alone_sqnr_db is None else f"{one.alone_sqnr_db:.1f} dB",
            str(left.get(name, "")) if search.best else "",
        )
        for name, one in sorted(known.items(), key=lambda item: -(item[1].fp32_ms or 0.0))
    ]
    return _without_empty(heads, rows)


def _speedup(median: float, low: float, high: float) -> str:
    return f"{facts.ratio(median)} ({facts.between((low, high), facts.ratio)})"


def _without_empty(
    heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Leave out the columns that have nothing in any row."""
    rows = list(rows)
    full = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    return tuple(heads[index] for index in full), [tuple(row[index] for index in full) for row in rows]
