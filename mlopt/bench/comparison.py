"""One comparison of models that no recipe made: measured until every gate is decided, and described as a report.

The first model is the baseline and is measured twice, so that the noise of the run is known. The last one is the result
that gates judge; a model on its own is both. The others are references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Dataset
from mlopt.gate.judge import judge, needs_more, overall
from mlopt.gate.limits import Gate
from mlopt.measure import figures, statistics
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.compare import compare
from mlopt.measure.figures import Roles, Subject
from mlopt.measure.schedule import Notify, Schedule
from mlopt.measure.statistics import Blocks
from mlopt.results.figures import Sampling, Speedup
from mlopt.results.report import CandidateRecord as Described
from mlopt.results.report import Report


@dataclass(frozen=True)
class Comparison:
    """What is compared and how. ``raw`` names the file that will hold the samples."""

    name: str
    candidates: tuple[Candidate, ...]
    dataset: Dataset
    hardware: Hardware
    schedule: Schedule
    gates: tuple[Gate, ...]
    baselines: Mapping[str, Report]
    raw: str

    @property
    def first(self) -> str:
        """The baseline's name."""
        return self.candidates[0].name

    @property
    def last(self) -> str:
        """The result's name."""
        return self.candidates[-1].name

    @property
    def roles(self) -> Roles:
        """Which candidates stand for what; without them there is no report."""
        return Roles(self.first, f"{self.first} (again)", self.last)

    @property
    def judged_by(self) -> frozenset[str]:
        """The candidates without which not every gate can be judged."""
        names = {each.name for each in self.candidates}
        return self.roles.all | {gate.vs for gate in self.gates if gate.vs in names}

    @property
    def alpha(self) -> float:
        """The error rate of each interval: together they hold 95 % over all looks."""
        return statistics.ALPHA / self.schedule.looks

    def measure(self, notify: Notify) -> Run:
        """Measure, and go on for as long as a gate is undecided and the schedule allows it."""
        roles = self.roles
        again = replace(self.candidates[0], name=roles.control)
        return compare(
            (*self.candidates, again), self.dataset, self.schedule, copies=(roles.base, roles.control),
            final=roles.final, needs=self.judged_by, undecided=self.undecided if self.gates else None, notify=notify,
        )  # fmt: skip

    def undecided(self, measured: Mapping[str, Measured]) -> frozenset[str]:
        """Name the candidates on which an undecided gate hangs."""
        so_far = figures.sampling_so_far(measured, self.roles, self.schedule.looks)
        report = self.report(measured).model_copy(update={"sampling": so_far})
        return frozenset(needs_more(self.gates, report, samples=_blocks(measured), baselines=self.baselines))

    def judged(self, report: Report, measured: Mapping[str, Measured]) -> Report:
        """Return ``report`` with its verdict; without one where a gate compares with a model that was lost."""
        if not self.gates or not self.judged_by <= set(measured):
            return report
        verdicts = judge(self.gates, report, samples=_blocks(measured), baselines=self.baselines)
        return report.model_copy(update={"gates": verdicts, "verdict": overall(verdicts)})

    def report(self, measured: Mapping[str, Measured]) -> Report:
        """Describe what was measured; nothing is judged yet. The essential candidates must be there."""
        described = self.described(measured)
        names = [name for name in described if name != self.last] or [self.first]
        dataset, subject = self.dataset, Subject(self.name, "latency", self.roles, self.hardware)
        report = figures.report(subject, described, measured, names, self.alpha)
        data = {"bench": {"source": dataset.source, "samples": dataset.count, "digest": dataset.digest}}
        return report.model_copy(update={"data": data})

    def sampling(self, run: Run) -> Sampling:
        """Describe how the samples came about; where there are no gates, none is undecided."""
        found = figures.sampling(run, self.roles)
        return found if self.gates else found.model_copy(update={"stopped": "decided"})

    def described(self, measured: Mapping[str, Measured]) -> dict[str, Described]:
        """Describe every model that was measured, by name, the second copy left out."""
        names = [each.name for each in self.candidates if each.name in measured]
        return {name: figures.timed(measured[name], self.dataset, self.alpha, self.raw) for name in names}

    def speedup(self, measured: Mapping[str, Measured], base: str, new: str) -> Speedup:
        """Compare two models; a model on its own is compared with its second copy."""
        return figures.speedup(measured, base, new, self.roles, self.alpha)


def _blocks(measured: Mapping[str, Measured]) -> dict[str, Blocks]:
    return {name: each.blocks for name, each in measured.items()}
