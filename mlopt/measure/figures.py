"""From the samples of a run to the figures of a report; every comparison of models is described by these."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batch_of
from mlopt.measure import statistics
from mlopt.measure.candidate import Measured, Run
from mlopt.measure.work import macs
from mlopt.results.environment import environment, now
from mlopt.results.figures import Sampling, Speedup
from mlopt.results.report import CandidateRecord, Report

RAW = "samples.json"


@dataclass(frozen=True)
class Roles:
    """Which candidates of a run stand for what."""

    base: str
    """What the others are compared with."""
    control: str
    """Its second copy, by which the noise of the run is known."""
    final: str
    """The result; of a model on its own, the base."""

    @property
    def all(self) -> frozenset[str]:
        """Those without which there is nothing to report."""
        return frozenset({self.base, self.control, self.final})


@dataclass(frozen=True)
class Subject:
    """What is compared, as far as a report tells it."""

    name: str
    objective: str
    roles: Roles
    hardware: Hardware


def timed(measured: Measured, dataset: Dataset, alpha: float, raw: str = RAW) -> CandidateRecord:
    """Describe one measured model, but not how good its answers are; intervals have the error rate ``alpha``.

    ``raw`` names the file that holds, or will hold, the samples.
    """
    candidate, model = measured.candidate, measured.candidate.model
    latency, clients = statistics.latency(measured.blocks, alpha), candidate.concurrency
    batch = batch_of(dataset, model.inputs, candidate.batch_size)
    return CandidateRecord(
        name=candidate.name,
        runtime=candidate.deployable.runtime,
        options=candidate.options.model_dump(mode="json") | ({"concurrency": clients} if clients > 1 else {}),
        digest=model.digest,
        latency_ms=latency,
        throughput_per_s=throughput(latency.mean, batch, clients),
        size_bytes=model.size_bytes,
        peak_rss_bytes=measured.peak_rss_bytes,
        accuracy=None,
        fidelity=None,
        raw=raw,
        batch_size=batch,
        cold_start=measured.cold_start,
        macs=macs(model, dataset, batch),
    )


def throughput(mean_ms: float, batch_size: int, clients: int) -> float:
    """Return the samples per second of ``clients`` that each wait for an answer before they ask again."""
    return 1e3 * batch_size * clients / mean_ms


def speedup(measured: Mapping[str, Measured], base: str, new: str, roles: Roles, alpha: float) -> Speedup:
    """Compare two models; one that is compared with itself is compared with the second copy."""
    copies = measured[roles.base].blocks, measured[roles.control].blocks
    blocks = copies[1] if new == base else measured[new].blocks
    middle, low, high = statistics.speedup(measured[base].blocks, blocks, alpha)
    return Speedup(
        median=middle, ci95=(low, high), vs=base, noise_floor=statistics.noise_floor(*copies, alpha),
        control=statistics.control(*copies, alpha),
    )  # fmt: skip


def sampling(run: Run, roles: Roles) -> Sampling:
    """Describe how the run went, by its baseline and its result."""
    return Sampling(
        rounds=min(_rounds(run.measured, name) for name in (roles.base, roles.final)), looks=run.looks,
        looks_planned=run.looks_planned, stopped=run.stopped, seconds=run.seconds, lost=run.lost,
    )  # fmt: skip


def sampling_so_far(measured: Mapping[str, Measured], roles: Roles, looks_planned: int) -> Sampling:
    """Describe a run that goes on."""
    return Sampling(
        rounds=_rounds(measured, roles.final), looks=1, looks_planned=looks_planned, stopped="looks", seconds=0.0
    )


def report(
    subject: Subject, candidates: Mapping[str, CandidateRecord], measured: Mapping[str, Measured],
    references: Collection[str], alpha: float,
) -> Report:  # fmt: skip
    """Put together what the latencies say, and nothing else: no verdict, no accuracy, no steps."""
    roles = subject.roles
    speedups = {name: speedup(measured, name, roles.final, roles, alpha) for name in references}
    return Report(
        name=subject.name,
        created=now(),
        objective=subject.objective,
        verdict="inconclusive",
        environment=environment(subject.hardware),
        baseline=candidates[roles.base],
        references={name: candidates[name] for name in references},
        final=candidates[roles.final],
        speedup=speedups[roles.base],
        speedups=speedups,
        accuracy_drop=None,
        steps=(),
        gates=(),
        data={},
    )


def _rounds(measured: Mapping[str, Measured], name: str) -> int:
    return len(measured[name].blocks) // 2
