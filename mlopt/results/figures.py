"""Figures that are measured, each with what tells how far it may be believed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlopt.results.section import Count, Interval, Many, Section

_LARGEST_EXPONENT = 300.0  # a report may come from anybody, and a float holds no more


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
        return 0.0 if self.sqnr_db is None else float(10 ** min(-self.sqnr_db / 20, _LARGEST_EXPONENT))


class ColdStart(Section):
    """What the first answer of a new process cost, once, in milliseconds: importing the runtime is not in it."""

    load_ms: float
    """From opening the file to an open session."""
    first_ms: float
    """The first inference after that."""


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


class LayerPrecision(Section):
    """The layers of a model that really ran in one precision, as its runtime reports it."""

    precision: str
    """As the runtime calls it, such as ``f32``, ``bf16`` or ``u8``."""
    layers: Count
    share: float | None = None
    """Of the time of all layers, by the runtime's own profile; null if that does not tell."""


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
