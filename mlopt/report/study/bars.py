"""What matters and what it is worth, as bars: their lengths, what stands beside them, and what qualifies them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from mlopt.report import facts
from mlopt.report.study.rows import TrialRow, parameter
from mlopt.results.study import StudyRecord

_MOST = 14
_NOISE = 0.03
_LEAST = 0.001


@dataclass(frozen=True)
class Weight:
    """One bar; ``share`` is its length, from 0 to 1, and None where there is none."""

    name: str
    share: float | None
    text: str
    role: str = ""
    detail: str = ""


def importance(record: StudyRecord) -> list[Weight]:
    """Return the settings by what they explain, the largest first."""
    ranked = sorted(record.importance.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
    most = max((share for _, share in ranked), default=0.0)
    return [
        Weight(parameter(name), min(1.0, max(0.0, share / most)) if most > 0 else 0.0, _percent(share))
        for name, share in ranked
    ]


def importance_caption(record: StudyRecord) -> str:
    """Say what the bars are, what is missing from them, and what was not varied."""
    known = math.fsum(record.importance.values())
    rest = max(0.0, 1 - known)
    what = "Share of the variance of log latency among measured trials that each setting explains by itself, estimated"
    parts = [f"{what}; the other {facts.percent(rest, 0)} is interplay and noise."]
    fixed = [parameter(one.name) for one in record.space if one.name not in record.importance]
    more = f" and {len(fixed) - 6:,} more" if len(fixed) > 6 else ""
    parts += [f"Not varied enough to tell: {', '.join(fixed[:6])}{more}."] if fixed else []
    return " ".join(parts)


def _percent(share: float) -> str:
    return "none" if share < _LEAST else "under 1 %" if share < 0.01 else facts.percent(min(share, 9.99), 0)


def worth(record: StudyRecord) -> list[Weight]:
    """Return the steps of the best chain, the most worth first; those without a trial to compare with at the end."""
    known = sorted((one for one in record.worth if one.speedup is not None), key=lambda one: -(one.speedup or 0.0))
    unknown = [one for one in record.worth if one.speedup is None]
    most = max((abs((one.speedup or 1.0) - 1) for one in known), default=0.0)
    return [
        *(_step(one.step, one.speedup or 0.0, most, one.without) for one in known[:_MOST]),
        *(Weight(facts.shorten(one.step, 40), None, "not known", detail="no valid trial was alike but for it")
          for one in unknown[:_MOST]),
    ]  # fmt: skip


def _step(name: str, ratio: float, most: float, without: int | None) -> Weight:
    gain = ratio - 1
    role = "" if abs(gain) < _NOISE else "good" if gain > 0 else "bad"
    against = "" if without is None else f"against trial {without}"
    return Weight(facts.shorten(name, 40), abs(gain) / most if most > 0 else 0.0, facts.ratio(ratio), role, against)


def causes(rows: list[TrialRow], most: int = 12) -> list[tuple[str, str]]:
    """Return why trials failed, the most frequent cause first, as ``(how many, cause)``."""
    counted = Counter(row.why or "no cause was recorded" for row in rows)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [(f"{count:,} trial{'' if count == 1 else 's'}", cause) for cause, count in ranked[:most]]
