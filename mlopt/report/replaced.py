"""What a run is worth beside the one whose artifact it replaced, in a few lines: faster, smaller, more accurate.

The figures are those of ``mlopt diff``, and so is what may be said of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.report.difference import Row, compare
from mlopt.results.report import Report

_REASON_LENGTH = 300


def told(old: Report, new: Report, version: int) -> Iterator[str]:
    """Yield the lines; ``version`` is that of the artifact that was replaced, of which ``old`` is the report."""
    if old.name != new.name:
        yield f"replaced version {version}, which was of another recipe ({plain(old.name)}) and is not compared"
        return
    found = compare(old, new)
    rows = {row.metric: row for row in found.rows}
    yield f"compared with version {version}, which this replaces ({plain(old.created)}):"
    yield f"  {_speed(rows['speedup.median'])}"
    yield f"  {_size(old.final.size_bytes, new.final.size_bytes)}"
    quality = rows.get("accuracy.value") or rows.get("fidelity.cosine")
    if quality is not None:
        name = facts.metric_name(new) if quality.metric == "accuracy.value" else "cosine similarity"
        yield f"  {_quality(quality, name)}"
    for line in found.shipped:
        yield f"  {plain(line)}"


def _speed(row: Row) -> str:
    times = f"{row.change} as fast{_interval(row, '.3f')}"
    if row.verdict == "unknown":
        return f"speed is not compared: {_reason(row)}"
    if row.verdict == "same":
        return f"no measurable difference in speed: {times}"
    return f"{'faster' if row.verdict == 'better' else 'slower'}: {times}"


def _size(old: int, new: int) -> str:
    if old == new:
        return f"the same size: {facts.size(new)}"
    share = facts.percent(abs(new - old) / max(old, 1), 1)
    return f"{share} {'smaller' if new < old else 'larger'}: {facts.size(new)}, was {facts.size(old)}"


def _quality(row: Row, name: str) -> str:
    if row.verdict == "unknown":
        return f"{name} is not compared: {_reason(row)}"
    if row.old == row.new:
        return f"the same {name}: {row.new:.5g}"
    moved = {"better": "higher", "worse": "lower"}.get(row.verdict)
    by = f"{row.change}{_interval(row, '+.2f')}"
    return f"{name} is {moved}: {by}" if moved else f"no measurable difference in {name}: {by}"


def _interval(row: Row, shape: str) -> str:
    return "" if row.interval is None else f" ({row.interval[0]:{shape}} to {row.interval[1]:{shape}})"


def _reason(row: Row) -> str:
    return facts.shorten(row.reason, _REASON_LENGTH)
