"""``report.json``, schema ``mlopt.report/v1``: the measured evidence, as gates, reports and other tools read it.

A figure that was not measured, or that the samples cannot support, is null with its reason beside it, never a number.
Times are milliseconds, sizes bytes, intervals 95 % unless their key says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from mlopt.results.figures import (
    Accuracy,
    AccuracyDrop,
    ColdStart,
    Disagreement,
    Fidelity,
    Latency,
    LayerPrecision,
    OperatorTime,
    Parity,
    Sampling,
    Speedup,
    SweepPoint,
)
from mlopt.results.section import Count, Few, Free, Interval, Many, Section, Verdict

SCHEMA = "mlopt.report/v1"


class Cpu(Section):
    """The processor that ran the measurement."""

    model: str
    isa: tuple[str, ...]
    cores: Count


class Environment(Section):
    """Where the figures come from; figures of two environments are not compared."""

    cpu: Cpu
    gpu: str | None
    os: str
    python: str
    packages: Many[dict[str, str]]
    mlopt: str


class CandidateRecord(Section):
    """One measured model in one runtime."""

    name: str
    runtime: str
    options: Free
    """Threads, device and session options that were measured."""
    digest: str
    latency_ms: Latency
    throughput_per_s: float
    size_bytes: Count
    peak_rss_bytes: Count
    accuracy: Accuracy | None
    fidelity: Fidelity | None
    """Against the source model; null for the source itself."""
    raw: str
    """The file, beside the report, with the samples."""
    batch_size: Count | None = None
    """Samples in one inference; null in reports of mlopt 0.1, which do not say."""
    cold_start: ColdStart | None = None
    macs: Count | None = None
    """Multiplications of one inference, of ``batch_size`` samples; null where they cannot be counted, as in older
    reports."""


class StepRecord(Section):
    """What one pass did."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    name: str = Field(alias="pass")
    version: Count
    config: Free
    status: Literal["applied", "cached", "dropped", "refused", "failed"]
    reason: str | None
    """Why it was dropped, refused or failed; for an applied step, why it was not taken from the cache."""
    seconds: float | None
    peak_rss_bytes: Count | None
    size_bytes: Count | None
    parity: Parity | None
    latency_ms: Latency | None
    accuracy: Accuracy | None
    macs: Count | None = None
    """As of a candidate; of a PyTorch model those of the graph that it is exported as."""
    notes: Free = Field(default_factory=dict)
    """What the pass itself has to say: fusions that fired, nodes left alone, the scheme chosen."""


class GatePlace(Section):
    """Where a gate stands."""

    file: str
    """A file below the directory that the run was started in, with slashes; never one that lies elsewhere."""
    line: Count
    """From 1 on."""


class GateVerdict(Section):
    """One limit, judged."""

    metric: str
    limit: str
    """As text, such as ``>= 1.2 vs onnx_fp32``."""
    value: float | None
    ci95: Interval | None
    n: Count | None
    verdict: Verdict
    """What it counts as."""
    message: str
    found: Verdict | None = None
    """What the evidence says, before ``on_inconclusive``; null in reports of mlopt 0.1."""
    confidence: float = 0.95
    interval: Interval | None = None
    """The interval that was judged, at ``confidence``; null where the figure has none."""
    on_inconclusive: Literal["fail", "warn", "pass"] | None = None
    place: GatePlace | None = None
    """Null for one that goes without saying, was given on the command line, or stands elsewhere."""

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``place`` out where there is none, as older readers know no such key."""
        found: dict[str, Any] = handler(self)
        if found["place"] is None:
            del found["place"]
        return found


class Tried(Section):
    """One deployable that was looked at for shipping, and how far it came; a figure that it did not come to is null."""

    model: str
    """Which form of the model it is: ``source``, or what a step made, such as ``after quantize (2)``."""
    digest: str
    runtime: str
    options: Free
    """Threads, device and what else it is opened with."""
    size_bytes: Count
    latency_ms: float | None = None
    """The median of one inference in the last race that it ran in."""
    speedup: float | None = None
    """In that race, against the baseline: the ratio of medians of interleaved blocks."""
    ci95: Interval | None = None
    """Of ``speedup``."""
    fidelity: Fidelity | None = None
    """Against the source model, in this runtime, on all evaluation samples or, if it was plain there, the first few."""
    accuracy: Accuracy | None = None
    valid: bool | None = None
    """Whether it may be shipped: it runs, and keeps the gates on quality in its own runtime; null if not judged."""
    unchanged: bool = False
    """Whether its model is the source as it came, or as it is only exported: its speed is the runtime's merit alone."""
    why_not: str | None = None
    """Why it is not what is shipped; null for the one that is."""


class Effort(Section):
    """What was asked to take less time than a whole run: the figures are as honest, and their intervals wider."""

    quick: bool
    """Whether measuring and searches were kept short: ``--quick``."""
    time_limit_s: float | None
    """What ``--budget`` allowed searches, retries and measuring, in seconds."""
    shortened: Many[tuple[str, ...]]
    """What was cut short, or left out, and how."""


class MadeBy(Section):
    """How a run was started, and where its result went: of what lies elsewhere, only the name."""

    command: tuple[str, ...]
    """Word by word."""
    artifact: str


class Report(Section):
    """The whole report."""

    schema_: Literal["mlopt.report/v1"] = Field(default="mlopt.report/v1", alias="schema")
    name: str
    created: str
    """UTC, ISO 8601."""
    objective: str
    verdict: Verdict
    environment: Environment
    baseline: CandidateRecord
    references: Many[dict[str, CandidateRecord]]
    """``onnx_fp32`` always; ``torch_eager`` when the source is PyTorch, ``torch_compile`` where the recipe asks for it;
    ``fastest_source`` when a runtime that was tried runs the unchanged source faster than the baseline. ``baseline`` is
    one of them."""
    final: CandidateRecord
    speedup: Speedup
    speedups: Many[dict[str, Speedup]]
    """The same against every reference, by name."""
    accuracy_drop: AccuracyDrop | None
    steps: Few[tuple[StepRecord, ...]]
    gates: Many[tuple[GateVerdict, ...]]
    data: Many[dict[str, Free]]
    """For each data set: source, samples, digest."""
    notes: Many[tuple[str, ...]] = ()
    sampling: Sampling | None = None
    sweep: Many[tuple[SweepPoint, ...]] = ()
    operators: Many[dict[str, Many[tuple[OperatorTime, ...]]]] = Field(default_factory=dict)
    """For the baseline and the final model, by name: operators, the most time first."""
    layers: Many[dict[str, Many[tuple[LayerPrecision, ...]]]] = Field(default_factory=dict)
    """By the same names, where the runtime tells: the precisions that layers ran in, the most time first."""
    differing: Many[tuple[Disagreement, ...]] = ()
    """The first few of the samples that ``accuracy_drop.disagreements`` counts."""
    tried: Many[tuple[Tried, ...]] = ()
    """Every deployable that was looked at; empty where a recipe leaves no choice, and in older reports."""
    spent: Many[dict[str, float]] = Field(default_factory=dict)
    """Seconds of wall time of choosing among ``tried``, by what they went to."""
    took: Many[dict[str, float]] = Field(default_factory=dict)
    """Seconds of wall time of each phase of the run up to the verdict, in the order in which they began; empty in older
    reports."""
    source_notes: Free = Field(default_factory=dict)
    """How the source came to be, as of a step's notes: the note ``trainings``, if the recipe trains it."""
    effort: Effort | None = None
    """Null for a whole run, and in older reports."""
    made_by: MadeBy | None = None
    """Absent in reports of ``mlopt bench``, and in those of older versions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
