"""What a gate asks, and the form in which a report answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlopt.core.errors import GateError
from mlopt.gate.limits import BASELINE, is_stored
from mlopt.measure.statistics import Blocks
from mlopt.report import change
from mlopt.report.change import ALPHA
from mlopt.results.report import Report
from mlopt.results.roles import FASTEST
from mlopt.results.section import Interval


@dataclass(frozen=True)
class Question:
    """What one gate asks of a report."""

    report: Report
    vs: str | None = None
    confidence: float = 1 - ALPHA
    samples: Mapping[str, Blocks] | None = None
    """The raw blocks by candidate, in milliseconds."""
    baselines: Mapping[str, Report] = field(default_factory=dict)
    """Stored reports by the name that ``vs`` gives them."""

    @property
    def recomputes(self) -> bool:
        """Whether the report's own intervals, at 95 %, are not what is asked for."""
        return not math.isclose(1 - self.confidence, ALPHA)

    @property
    def alpha(self) -> float:
        """The error rate of one look at the samples."""
        return (1 - self.confidence) / change.looks(self.report)

    @property
    def reference(self) -> str | None:
        """The candidate of this report to compare with; None for the baseline.

        That is the fastest unchanged source, too, where the report has no other of that name.
        """
        return None if self.vs == FASTEST and FASTEST not in self.report.references else self.vs

    def stored(self) -> Report | None:
        """Return the stored report to compare with; None if ``vs`` is of this report, or nothing."""
        if self.vs is None or self.vs in self.report.references or not is_stored(self.vs):
            return None
        if self.vs not in self.baselines:
            given = "mlopt gate REPORT --baseline FILE" if self.vs == BASELINE else "name a report.json that exists"
            raise GateError("the stored report to compare with was not given", got=f"vs: {self.vs}", fix=given)
        return self.baselines[self.vs]

    def blocks(self, name: str) -> Blocks:
        """Return a candidate's raw samples; raises ``GateError`` if they are not at hand."""
        if self.samples is None or name not in self.samples:
            raise GateError(
                f"a confidence of {self.confidence:.6g} takes the raw samples of '{name}'", expected="samples.json",
                fix="judge the artifact with its samples.json, not report.json alone; or leave `confidence` out",
            )  # fmt: skip
        return self.samples[name]


@dataclass(frozen=True)
class Evidence:
    """What a report knows about one metric: a figure, or the reason why there is none."""

    value: float | None
    interval: Interval | None = None
    n: int | None = None
    unit: str = "samples"
    """What ``n`` counts."""
    missing: str | None = None
    """Why there is no figure."""
    doubt: str | None = None
    """Why the figure is not to be believed as it stands."""
    reach: float = 1.0
    """The factor by which a doubted ratio may be off, either way; a limit beyond that is decided all the same."""
    noise: float | None = None
    """Of a ratio in a report of mlopt 0.1: how far from 1 its A/A control came out."""
    noise_floor: float = 0.0
    """Of a ratio of one run: what two copies of one model differed by. One is faster or slower only beyond that."""
    disagreement: float | None = None
    """Of a drop: the share of samples on which the two models differ, 0 to 1."""
    rests_on: frozenset[str] = frozenset()
    """The candidates of which more samples make the interval narrower, or the figure possible."""
    fixed: float = 0.0
    """The half-width that such samples leave: a stored run's share."""
    of: str | None = None
    """What it is the figure of, where a report has several and the worst counts."""
    remedy: str | None = None
    """What would decide it, where that is not what the metric's own ``when_undecided`` says."""


Read = Callable[[Question], Evidence]
"""How a metric is read; raises ``GateError`` for what was not measured."""


def rounds(report: Report) -> int | None:
    """Return in how many rounds the report's ratios were measured, if it says so."""
    return report.sampling.rounds if report.sampling else None
