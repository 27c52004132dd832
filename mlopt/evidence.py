"""From measurements to the report: which candidates a run compares, and what their figures are worth.

Always measured beside the result: the source in its own framework, and the fair baseline, which is the unquantized
ONNX model in ONNX Runtime with all its graph optimizations, twice, so that the noise of this run is known.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlopt import __version__
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batch_of
from mlopt.errors import RecipeError
from mlopt.evaluate import Evaluator
from mlopt.gate import Gate
from mlopt.hardware import Hardware
from mlopt.measure import statistics
from mlopt.measure.candidate import Candidate as Contender
from mlopt.measure.latency import Measured
from mlopt.model import Kind, Model
from mlopt.packages import versions
from mlopt.pipeline import Outcome, Ruling
from mlopt.recipe.schema import Recipe
from mlopt.report.schema import Candidate, Cpu, Environment, Report, Speedup, Step
from mlopt.runtimes import runtime_for
from mlopt.runtimes.base import RuntimeOptions
from mlopt.target import Objective

BASELINE = "onnx_fp32"
SOURCE = "torch_eager"
CONTROL = "onnx_fp32 (again)"
FINAL = "final"
RAW = "samples.json"

_REPORTED = ("mlopt", "numpy", "onnx", "onnxruntime", "onnxsim", "onnxscript", "torch")


@dataclass(frozen=True)
class Lineup:
    """The candidates of one run: the references, each kept step's model, and the final one."""

    source: Model
    baseline: Model
    final: Model
    steps: Mapping[int, str]
    """For each step with a model of its own: its candidate's name."""
    contenders: tuple[Contender, ...]


def lineup(source: Model, outcomes: Sequence[Outcome], options: RuntimeOptions) -> Lineup:
    """Choose what is measured; a model that occurs twice in the chain is measured once, the final one always."""
    chain = [source, *(o.model for o in outcomes if o.model is not None and o.status != "dropped")]
    onnx = [model for model in chain if model.kind is Kind.ONNX]
    baseline, final = onnx[0], onnx[-1]
    names = {baseline.digest: BASELINE, source.digest: SOURCE if source.kind is Kind.TORCH else BASELINE}
    models = {SOURCE: source} if source.kind is Kind.TORCH else {}
    models |= {BASELINE: baseline, CONTROL: baseline}
    steps = {}
    for number, outcome in enumerate(outcomes):
        if outcome.model is None or outcome.status == "dropped":
            continue
        default = FINAL if outcome.model.digest == final.digest else f"after {outcome.step.name} ({number + 1})"
        steps[number] = names.setdefault(outcome.model.digest, default)
        models.setdefault(steps[number], outcome.model)
    models[FINAL] = final
    return Lineup(
        source, baseline, final, steps, tuple(Contender(name, model, options) for name, model in models.items())
    )


def report(
    recipe: Recipe, lineup: Lineup, outcomes: Sequence[Outcome], samples: Mapping[str, Measured],
    evaluator: Evaluator, hardware: Hardware, data: Mapping[str, Dataset | None], notes: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Put the evidence together. The verdict is inconclusive until the gates have been judged."""
    candidates = {name: candidate(name, measured, evaluator) for name, measured in samples.items() if name != CONTROL}
    references = {name: candidates[name] for name in (SOURCE, BASELINE) if name in candidates}
    speedups = {name: speedup(samples, name) for name in references}
    return Report(
        name=recipe.name,
        created=now(),
        objective=recipe.objective.value,
        verdict="inconclusive",
        environment=environment(hardware),
        baseline=references[BASELINE],
        references=references,
        final=candidates[FINAL],
        speedup=speedups[BASELINE],
        speedups=speedups,
        accuracy_drop=evaluator.drop(lineup.final),
        steps=tuple(step(outcome, lineup.steps.get(n), candidates) for n, outcome in enumerate(outcomes)),
        gates=(),
        data={role: _described(dataset) for role, dataset in data.items() if dataset is not None},
        notes=tuple(notes),
    )


def source_name(source: Model) -> str:
    """Return the name under which the source model is a reference."""
    return SOURCE if source.kind is Kind.TORCH else BASELINE


def check_gates(recipe: Recipe, source: Model) -> None:
    """Raise ``RecipeError`` for a gate that this run will not be able to answer."""
    known = source_name(source)
    for gate in recipe.gates:
        drop = gate.metric == "accuracy.drop_pt" and gate.vs not in {None, known}
        if drop or (gate.vs == SOURCE and source.kind is not Kind.TORCH):
            raise RecipeError(
                f"the gate on {gate.metric} compares with '{gate.vs}', which this run has not", where="gates",
                expected=known, fix=f"vs: {known}, or leave `vs` out",
            )  # fmt: skip


def gates(recipe: Recipe) -> tuple[Gate, ...]:
    """Return the recipe's gates and, unless it says otherwise, the one that always holds: not slower than the baseline.

    Two equally fast models straddle 1.0 for ever, so an undecided comparison passes; only a measured loss fails.
    """
    stated = any(gate.metric == "speedup.median" and gate.vs in {None, BASELINE} for gate in recipe.gates)
    if stated or recipe.objective is Objective.SIZE:
        return recipe.gates
    return (*recipe.gates, Gate(metric="speedup.median", min=1.0, vs=BASELINE, on_inconclusive="pass"))


def candidate(name: str, measured: Measured, evaluator: Evaluator) -> Candidate:
    """Describe one measured model."""
    contender, model = measured.candidate, measured.candidate.model
    latency = statistics.latency(measured.blocks)
    return Candidate(
        name=name,
        runtime=runtime_for(model.kind).name,
        options=contender.options.model_dump(mode="json"),
        digest=model.digest,
        latency_ms=latency,
        throughput_per_s=1e3 * batch_of(evaluator.dataset, model.inputs, evaluator.batch_size) / latency.mean,
        size_bytes=model.size_bytes,
        peak_rss_bytes=measured.peak_rss_bytes,
        accuracy=evaluator.accuracy(model),
        fidelity=evaluator.fidelity(model),
        raw=RAW,
    )


def speedup(measured: Mapping[str, Measured], vs: str) -> Speedup:
    """Compare the final model with a reference, and say how noisy this run was."""
    middle, low, high = statistics.speedup(measured[vs].blocks, measured[FINAL].blocks)
    floor = statistics.noise_floor(measured[BASELINE].blocks, measured[CONTROL].blocks)
    return Speedup(median=middle, ci95=(low, high), vs=vs, noise_floor=floor)


def step(outcome: Outcome, name: str | None, candidates: Mapping[str, Candidate]) -> Step:
    """Describe one step; what was not kept has the figures of its trial, if any."""
    measured: Candidate | Ruling | None = candidates[name] if name is not None else outcome.trial
    return Step(
        name=outcome.step.name,
        version=outcome.version,
        config=outcome.step.config.model_dump(mode="json"),
        status=outcome.status,
        reason=outcome.reason,
        seconds=outcome.seconds,
        peak_rss_bytes=outcome.peak_rss_bytes,
        size_bytes=outcome.model.size_bytes if outcome.model is not None else None,
        parity=outcome.parity,
        latency_ms=measured.latency_ms if measured else None,
        accuracy=measured.accuracy if measured else None,
        notes=dict(outcome.notes or {}),
    )


def environment(hardware: Hardware) -> Environment:
    """Describe this machine and the versions that decide the figures."""
    return Environment(
        cpu=Cpu(model=hardware.cpu, isa=hardware.isa, cores=hardware.cores),
        gpu=hardware.gpu.name if hardware.gpu else None,
        os=platform.platform(),
        python=platform.python_version(),
        packages=versions(_REPORTED[1:]),
        mlopt=__version__,
    )


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _described(dataset: Dataset) -> dict[str, Any]:
    return {"source": dataset.source, "samples": dataset.count, "digest": dataset.digest}
