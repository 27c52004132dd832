"""``report.json``, schema ``mlopt.report/v1``: the measured evidence, as gates, reports and other tools read it.

A figure that was not measured, or that the samples cannot support, is null with its reason beside it, never a number.
Times are milliseconds, sizes bytes, intervals 95 % unless their key says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "mlopt.report/v1"
Interval = tuple[float, float]
Verdict = Literal["pass", "fail", "inconclusive"]


class Section(BaseModel):
    """The base of every part of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Cpu(Section):
    """The processor that ran the measurement."""

    model: str
    isa: tuple[str, ...]
    cores: int


class Environment(Section):
    """Where the figures come from; figures of two environments are not compared."""

    cpu: Cpu
    gpu: str | None
    os: str
    python: str
    packages: dict[str, str]
    mlopt: str


class Latency(Section):
    """Wall time of one inference of ``batch_size`` samples, in milliseconds."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    mean: float
    n: int
    ci95: dict[str, Interval]
    """For each percentile that is given, and for the mean: its interval."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """For each percentile that is null: why."""


class Accuracy(Section):
    """The recipe's metric on the evaluation samples."""

    metric: str
    value: float
    n: int
    ci95: Interval


class Fidelity(Section):
    """How close outputs are to the reference model's on the same samples; the worst output counts."""

    cosine: float
    """The mean over samples of the cosine similarity, of the worst output; 1 is equal direction."""
    sqnr_db: float | None
    """The signal to quantization-noise ratio; null when the outputs are equal."""
    max_abs: float
    n: int


class Candidate(Section):
    """One measured model in one runtime."""

    name: str
    runtime: str
    options: dict[str, Any]
    """Threads, device and session options that were measured."""
    digest: str
    latency_ms: Latency
    throughput_per_s: float
    size_bytes: int
    peak_rss_bytes: int
    accuracy: Accuracy | None
    fidelity: Fidelity | None
    """Against the source model; null for the source itself."""
    raw: str
    """The file, beside the report, with the samples."""


class Speedup(Section):
    """How many times faster the final model is than ``vs``: the ratio of medians of interleaved blocks."""

    median: float
    ci95: Interval
    vs: str
    noise_floor: float
    """The A/A control: how far from 1 the ratio of two copies of one model came out in the same run (0.03 is 3 %)."""


class AccuracyDrop(Section):
    """What the metric lost against the baseline on the same samples; points are percentage points of the metric."""

    pt: float
    ci95: Interval
    """The two-sided 90 % interval would do for a one-sided 5 % test; 95 % is stricter."""
    n: int
    disagreements: int
    """Samples on which the two models' scores differ."""
    vs: str


class Parity(Section):
    """A step's output against its input on real samples."""

    max_abs: float
    sqnr_db: float | None
    cosine: float


class Step(Section):
    """What one pass did."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    name: str = Field(alias="pass")
    version: int
    config: dict[str, Any]
    status: Literal["applied", "cached", "dropped", "refused", "failed"]
    reason: str | None
    """Why it was dropped, refused or failed; for an applied step, why it was not taken from the cache."""
    seconds: float | None
    peak_rss_bytes: int | None
    size_bytes: int | None
    parity: Parity | None
    latency_ms: Latency | None
    accuracy: Accuracy | None
    notes: dict[str, Any] = Field(default_factory=dict)
    """What the pass itself has to say: fusions that fired, nodes left alone, the scheme chosen."""


class GateVerdict(Section):
    """One limit, judged."""

    metric: str
    limit: str
    """As text, such as ``>= 1.2 vs onnx_fp32``."""
    value: float | None
    ci95: Interval | None
    n: int | None
    verdict: Verdict
    message: str


class Report(Section):
    """The whole report."""

    schema_: Literal["mlopt.report/v1"] = Field(default="mlopt.report/v1", alias="schema")
    name: str
    created: str
    """UTC, ISO 8601."""
    objective: str
    verdict: Verdict
    environment: Environment
    baseline: Candidate
    references: dict[str, Candidate]
    """``onnx_fp32`` always; ``torch_eager`` when the source is PyTorch. ``baseline`` is one of them."""
    final: Candidate
    speedup: Speedup
    speedups: dict[str, Speedup]
    """The same against every reference, by name."""
    accuracy_drop: AccuracyDrop | None
    steps: tuple[Step, ...]
    gates: tuple[GateVerdict, ...]
    data: dict[str, dict[str, Any]]
    """For each data set: source, samples, digest."""
    notes: tuple[str, ...] = ()

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
