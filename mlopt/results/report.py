"""``report.json``, schema ``mlopt.report/v1``: the measured evidence, as gates, reports and other tools read it.

A figure that was not measured, or that the samples cannot support, is null with its reason beside it, never a number.
Times are milliseconds, sizes bytes, intervals 95 % unless their key says otherwise.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

SCHEMA = "mlopt.report/v1"
T = TypeVar("T")
Few = Annotated[T, Field(max_length=200)]
Many = Annotated[T, Field(max_length=2000)]
"""More of anything than a run can give is refused: a page of it would take minutes to make."""
Interval = tuple[float, float]
Verdict = Literal["pass", "fail", "inconclusive"]
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A whole number that a float holds exactly: a report may come from anybody, and figures are computed from it."""


def _finite(free: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Refuse NaN and infinity anywhere in what was read as JSON, naming the place; what a run notes is its own."""
    found = _not_finite(free) if info.mode == "json" else None
    if found:
        place, number = found
        raise ValidationError.from_exception_data(
            "free", [{"type": "finite_number", "loc": place, "input": number}], "json"
        )
    return free


def _not_finite(inside: dict[str, Any] | list[Any]) -> tuple[tuple[str | int, ...], float] | None:
    """Return the first such number, and where it is: the parser of JSON has bounded how deep that can be."""
    for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
        if isinstance(value, (dict, list)):
            if found := _not_finite(value):
                return (key, *found[0]), found[1]
        elif isinstance(value, float) and not isfinite(value):
            return (key,), value
    return None


Free = Annotated[dict[str, Any], AfterValidator(_finite)]
"""Whatever a pass, a runtime or a data set has to say: any JSON."""


class Section(BaseModel):
    """The base of every part of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


class Latency(Section):
    """Wall time of one inference of ``batch_size`` samples, in milliseconds."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    mean: float
    n: Count
    ci95: dict[str, Interval]
    """For each percentile that is given, and for the mean: its interval."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """For each percentile that is null: why."""


class Accuracy(Section):
    """The recipe's metric on the evaluation samples."""

    metric: str
    value: float
    n: Count
    ci95: Interval


class OutputFidelity(Section):
    """How close one output is; the figures are those of ``Fidelity``."""

    cosine: float
    sqnr_db: float | None
    max_abs: float
    shift: float
    worst_part: float
    part: str


class Fidelity(Section):
    """How close outputs are to the reference model's on the same samples; the worst output, or part of one, counts."""

    cosine: float
    """The mean over samples of the cosine similarity, of the worst output; 1 is equal direction."""
    sqnr_db: float | None
    """The signal to quantization-noise ratio; null when the outputs are equal."""
    max_abs: float
    n: Count
    matched: float | None = None
    """The share of detections, of both models together, that found each other; null where outputs hold none."""
    shift: float | None = None
    """The part of the relative error that a change of scale and an offset explain; null, like what follows, in reports
    of mlopt 0.1."""
    worst_part: float | None = None
    """How wrong the worst channel or sample is: 0 is right, 1 is useless."""
    part: str | None = None
    """Which that is, in words."""
    outputs: Many[dict[str, OutputFidelity]] = Field(default_factory=dict)

    @property
    def relative_error(self) -> float:
        """The size of the error over that of the outputs, of the worst output: the SQNR as a ratio."""
        return 0.0 if self.sqnr_db is None else float(10 ** (-self.sqnr_db / 20))


class ColdStart(Section):
    """What the first answer of a new process cost, once, in milliseconds: importing the runtime is not in it."""

    load_ms: float
    """From opening the file to an open session."""
    first_ms: float
    """The first inference after that."""


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


class Sampling(Section):
    """How the latencies were sampled."""

    rounds: Count
    """Of the baseline and the result; in a round every candidate has two blocks, in the order ABBA."""
    looks: Count
    """How often the samples were looked at to decide whether more are needed."""
    looks_planned: Annotated[Count, Field(ge=1)]
    """The intervals hold together over so many looks: each has an error rate of 5 % divided by this."""
    stopped: Literal["decided", "time", "looks"]
    """Why no more was measured: every gate was decided, ``max_time`` was spent, or no look was left."""
    seconds: float
    """Wall time of measuring, all candidates together."""
    lost: Many[dict[str, str]] = Field(default_factory=dict)
    """For each candidate whose process died: the cause."""


class SweepPoint(Section):
    """One model at one load."""

    name: str
    batch_size: Count
    threads: Count
    concurrency: Count
    """Requests under way at any moment, each from a client that waits for its answer (a closed loop)."""
    latency_ms: Latency
    throughput_per_s: float
    """Samples per second, all clients together."""


class OperatorTime(Section):
    """The time that all operators of one type take in one inference, by the runtime's own profile."""

    op_type: str
    nodes: Count
    ms: float


class Disagreement(Section):
    """One evaluation sample on which the final model's score differs from the source's."""

    sample: Count
    label: str | None
    reference: str
    final: str
    """Predicted classes where the metric compares classes, else scores."""


class Speedup(Section):
    """How many times faster the final model is than ``vs``: the ratio of medians of interleaved blocks."""

    median: float
    ci95: Interval
    vs: str
    noise_floor: float
    """The A/A control: how far from 1 the far end of ``control`` lies (0.03 is 3 %)."""
    control: Interval | None = None
    """The interval of the ratio of two copies of one model in the same run, at the level of ``ci95``; if it excludes 1,
    every ratio of this run may be off by as much."""


class AccuracyDrop(Section):
    """What the metric lost against the baseline on the same samples; points are percentage points of the metric."""

    pt: float
    ci95: Interval
    """The two-sided 90 % interval would do for a one-sided 5 % test; 95 % is stricter."""
    n: Count
    disagreements: Count
    """Samples on which the two models' scores differ."""
    vs: str
    lost: Count | None = None
    gained: Count | None = None
    """Of scores that are 0 or 1: samples that only the reference, or only the final model, gets right."""


class Parity(Section):
    """A step's output against its input on real samples."""

    max_abs: float
    sqnr_db: float | None
    cosine: float


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
    notes: Free = Field(default_factory=dict)
    """What the pass itself has to say: fusions that fired, nodes left alone, the scheme chosen."""


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
    """``onnx_fp32`` always; ``torch_eager`` when the source is PyTorch. ``baseline`` is one of them."""
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
    differing: Many[tuple[Disagreement, ...]] = ()
    """The first few of the samples that ``accuracy_drop.disagreements`` counts."""
    made_by: MadeBy | None = None
    """Absent in reports of ``mlopt bench``, and in those of older versions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
