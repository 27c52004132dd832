"""One comparison of models that no recipe made: measured until every gate is decided, and described as a report.

The first model is the baseline and is measured twice, so that the noise of the run is known. The last one is the result
that gates judge; a model on its own is both. The others are references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlopt.data.dataset import Dataset
from mlopt.evidence import ALPHA, environment, now, sampling, speedup, timed
from mlopt.gate.judge import judge, needs_more, overall
from mlopt.gate.limits import Gate
from mlopt.hardware import Hardware
from mlopt.measure import statistics
from mlopt.measure.candidate import Candidate
from mlopt.measure.latency import Measured, Run, measure
from mlopt.measure.schedule import Notify, Schedule
from mlopt.measure.statistics import Blocks
from mlopt.report.schema import Candidate as Described
from mlopt.report.schema import Report, Sampling, Speedup


@dataclass(frozen=True)
class Comparison:
    """What is compared and how. ``raw`` names the file that will hold the samples."""

    name: str
    contenders: tuple[Candidate, ...]
    dataset: Dataset
    hardware: Hardware
    schedule: Schedule
    gates: tuple[Gate, ...]
    baselines: Mapping[str, Report]
    raw: str

    @property
    def first(self) -> str:
        """The baseline's name."""
        return self.contenders[0].name

    @property
    def last(self) -> str:
        """The result's name."""
        return self.contenders[-1].name

    @property
    def control(self) -> str:
        """The name of the baseline's second copy."""
        return f"{self.first} (again)"

    @property
    def essential(self) -> frozenset[str]:
        """The candidates without which there is no report."""
        return frozenset({self.first, self.control, self.last})

    @property
    def judged_by(self) -> frozenset[str]:
        """The candidates without which not every gate can be judged."""
        names = {each.name for each in self.contenders}
        return self.essential | {gate.vs for gate in self.gates if gate.vs in names}

    @property
    def alpha(self) -> float:
        """The error rate of each interval: together they hold 95 % over all looks."""
        return ALPHA / self.schedule.looks

    def measure(self, notify: Notify) -> Run:
        """Measure, and go on for as long as a gate is undecided and the schedule allows it."""
        again = replace(self.contenders[0], name=self.control)
        return measure(
            (*self.contenders, again), self.dataset, self.schedule, notify=notify, interim=self.interim,
            undecided=self.undecided if self.gates else None,
        )  # fmt: skip

    def undecided(self, measured: Mapping[str, Measured]) -> frozenset[str]:
        """Name the candidates on which an undecided gate hangs; a ratio also takes the control."""
        if not self.judged_by <= set(measured):
            return frozenset()
        so_far = Sampling(
            rounds=len(measured[self.last].blocks) // 2, looks=1, looks_planned=self.schedule.looks, stopped="looks",
            seconds=0.0,
        )  # fmt: skip
        report = self.report(measured).model_copy(update={"sampling": so_far})
        names = needs_more(self.gates, report, samples=_blocks(measured), baselines=self.baselines)
        return names | {self.first, self.control} if len(names) > 1 else names

    def interim(self, measured: Mapping[str, Measured]) -> str:
        """Say how fast the result seems so far."""
        if self.first == self.last or not {self.first, self.last} <= set(measured):
            return ""
        base, new = measured[self.first].blocks, measured[self.last].blocks
        if min(len(base), len(new)) // 2 < statistics.rounds_needed(self.alpha):  # one of them was lost early
            return ""
        middle, low, high = statistics.speedup(base, new, self.alpha)
        return f"speedup {middle:.2f}x ({low:.2f} to {high:.2f})"

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
        speedups = {name: self.speedup(measured, name, self.last) for name in names}
        dataset = self.dataset
        return Report(
            name=self.name,
            created=now(),
            objective="latency",
            verdict="inconclusive",
            environment=environment(self.hardware),
            baseline=described[self.first],
            references={name: described[name] for name in names},
            final=described[self.last],
            speedup=speedups[self.first],
            speedups=speedups,
            accuracy_drop=None,
            steps=(),
            gates=(),
            data={"bench": {"source": dataset.source, "samples": dataset.count, "digest": dataset.digest}},
        )

    def sampling(self, run: Run) -> Sampling:
        """Describe how the samples came about; where there are no gates, none is undecided."""
        found = sampling(run, self.first, self.last)
        return found if self.gates else found.model_copy(update={"stopped": "decided"})

    def described(self, measured: Mapping[str, Measured]) -> dict[str, Described]:
        """Describe every model that was measured, by name, the second copy left out."""
        names = [each.name for each in self.contenders if each.name in measured]
        return {name: timed(measured[name], self.dataset, self.alpha, self.raw) for name in names}

    def speedup(self, measured: Mapping[str, Measured], base: str, new: str) -> Speedup:
        """Compare two models; a model on its own is compared with its second copy."""
        twice = measured[self.first], measured[self.control]
        return speedup(twice[1] if new == base else measured[new], measured[base], twice, self.alpha)


def _blocks(measured: Mapping[str, Measured]) -> dict[str, Blocks]:
    return {name: each.blocks for name, each in measured.items()}
