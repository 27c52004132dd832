"""``study.json``, schema ``mlopt.study/v1``: what a search tried, what became of each trial, and what it came to.

Times are seconds since the study began unless a key says otherwise; latencies milliseconds, sizes bytes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from mlopt.results.figures import Accuracy, Fidelity
from mlopt.results.report import Environment
from mlopt.results.section import Count, Free, Interval, Many, Section

SCHEMA = "mlopt.study/v1"


class SearchParameter(Section):
    """One dimension of the space: a key of the recipe with the values that a search may give it."""

    name: str
    """Such as ``passes.quantize.mode``, ``passes.fuse`` (whether the step is there), ``runtime`` or ``session``."""
    values: Many[tuple[JsonValue, ...]]
    default: JsonValue
    """As the recipe says it."""
    when: Many[dict[str, tuple[JsonValue, ...]]] = Field(default_factory=dict)
    """The values of other parameters with which alone it means something; else it is left out of a point."""


class TrialRecord(Section):
    """One point of the space, and how far it came; a figure that it did not come to is null."""

    number: Count
    params: Many[dict[str, JsonValue]]
    """The point: every parameter that means something in it."""
    origin: str
    """Who proposed it: ``recipe``, ``prior``, ``earlier study``, ``ablation`` or ``search``."""
    status: Literal["measured", "stopped", "failed"]
    """``stopped``: given up at a cheaper look, as ``cause`` says; ``failed``: a step or the model did not run."""
    cause: str | None = None
    rung: Count
    """How far it came: 0 built and looked at, 1 judged on part of the samples, 2 judged on all and raced."""
    began_s: float
    seconds: float
    node: str
    """The machine that did the work."""
    digest: str | None = None
    runtime: str | None = None
    options: Free = Field(default_factory=dict)
    latency_ms: float | None = None
    """The median of one inference in the last race that it ran in."""
    speedup: float | None = None
    """In that race, against the baseline."""
    ci95: Interval | None = None
    """Of ``speedup``."""
    size_bytes: Count | None = None
    peak_rss_bytes: Count | None = None
    accuracy: Accuracy | None = None
    fidelity: Fidelity | None = None
    valid: bool | None = None
    """Whether it keeps the gates on quality and size, on all evaluation samples; null if that was not looked into."""
    why_not: str | None = None
    """What a gate says against it."""


class Worth(Section):
    """What one pass of the best chain is worth: the best valid trial that is alike but for it, against the best."""

    step: str
    without: Count | None
    """The number of that trial; null if none was measured."""
    speedup: float | None
    """How many times as fast the best is with it."""


class Ended(Section):
    """How a study ended."""

    why: Literal["budget", "converged", "exhausted", "trials", "interrupted"]
    """``converged``: the front had not moved for so long; ``exhausted``: every point was tried."""
    seconds: float
    """Of all its runs together."""
    resumed: Count
    """How often it was gone on with."""


class StudyRecord(Section):
    """A search, whole."""

    schema_: Literal["mlopt.study/v1"] = Field(default="mlopt.study/v1", alias="schema")
    name: str
    recipe_digest: str
    objective: str
    budget_s: float | None
    seed: Count
    environment: Environment
    space: Many[tuple[SearchParameter, ...]]
    points: Count | None
    """How many points the space has; null if that was not counted."""
    trials: Many[tuple[TrialRecord, ...]]
    front: Many[tuple[Count, ...]]
    """Numbers of the valid trials that none beats in latency, accuracy or fidelity, size and memory at once."""
    best: Count | None
    """The number of the trial that is shipped; null if none is valid."""
    final_speedup: float | None = None
    """Of what is shipped, against the recipe's own chain, measured in one interleaved run at the end."""
    final_ci95: Interval | None = None
    importance: Many[dict[str, float]] = Field(default_factory=dict)
    """The share of the variance of log latency that each parameter explains among measured trials."""
    worth: Many[tuple[Worth, ...]] = ()
    ended: Ended
    recipe: str = ""
    """The recipe of the best chain, as YAML; empty if no trial is valid."""
