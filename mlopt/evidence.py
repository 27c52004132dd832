"""From measurements to the report: which candidates a run compares, and what their figures are worth.

Always measured beside the result: the source in its own framework, and the fair baseline, which is the unquantized
ONNX model in ONNX Runtime with all its graph optimizations, twice, so that the noise of this run is known.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlopt import __version__
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batch_of
from mlopt.errors import RecipeError
from mlopt.evaluate import Evaluator
from mlopt.gate import Gate
from mlopt.gate.defaults import implied
from mlopt.hardware import Hardware
from mlopt.measure import statistics
from mlopt.measure.candidate import Candidate as Contender
from mlopt.measure.latency import Measured, Run
from mlopt.model import ONNX, TORCH, Model
from mlopt.packages import versions
from mlopt.pipeline import Outcome, Ruling
from mlopt.recipe.schema import Recipe
from mlopt.report.control import runs_alike
from mlopt.report.schema import Candidate, Cpu, Environment, Report, Sampling, Speedup, Step
from mlopt.runtimes import Deployable, deploy
from mlopt.target import Objective

BASELINE = "onnx_fp32"
SOURCE = "torch_eager"
CONTROL = "onnx_fp32 (again)"
FINAL = "final"
RAW = "samples.json"
ALPHA = 0.05
"""The error rate of a report's intervals, shared out among the looks that were planned."""

_REPORTED = ("mlopt", "numpy", "onnx", "onnxruntime", "onnxsim", "onnxscript", "torch")


@dataclass(frozen=True)
class Lineup:
    """The candidates of one run: the references, each kept step's model, and the final one."""

    source: Deployable
    baseline: Deployable
    final: Deployable
    steps: Mapping[int, str]
    """For each step with a model of its own: its candidate's name."""
    contenders: tuple[Contender, ...]


def lineup(
    source: Deployable, outcomes: Sequence[Outcome], batch_size: int, exported: Deployable | None = None,
    start: Deployable | None = None,
) -> Lineup:  # fmt: skip
    """Choose what is measured; what occurs twice in the chain is measured once, the final one always.

    ``exported`` is the source in FP32 as ONNX, where the chain has no such model; ``start`` is the source as the target
    runs it, which is the result if no step is kept.
    """
    chain = [start or source, *(o.deployable for o in outcomes if o.deployable is not None and o.status != "dropped")]
    baseline = exported or next((each for each in chain if each.model.kind == ONNX), source)
    if baseline.model.kind == ONNX:  # whatever the target or a pass says, it is run as it is by default
        baseline = deploy(baseline.model, source.options)
    final = chain[-1]
    names = {baseline.identity: BASELINE, source.identity: source_name(source.model)}
    found = {SOURCE: source} if source.model.kind == TORCH else {}
    found |= {BASELINE: baseline, CONTROL: baseline}
    steps = {}
    for number, outcome in enumerate(outcomes):
        if outcome.deployable is None or outcome.status == "dropped":
            continue
        same = outcome.deployable.identity == final.identity
        default = FINAL if same else f"after {outcome.step.name} ({number + 1})"
        steps[number] = names.setdefault(outcome.deployable.identity, default)
        found.setdefault(steps[number], outcome.deployable)
    found[FINAL] = final
    contenders = tuple(Contender(name, each, batch_size) for name, each in found.items())
    return Lineup(source, baseline, final, steps, contenders)


def report(
    recipe: Recipe, lineup: Lineup, outcomes: Sequence[Outcome], run: Run, evaluator: Evaluator,
    data: Mapping[str, Dataset | None] = {}, notes: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Put the evidence together. The verdict is inconclusive until the gates have been judged.

    ``run`` has measured at least the baseline, its second copy and the final model; what else was lost is left out,
    with a note.
    """
    alpha = ALPHA / run.looks_planned
    candidates = {
        name: _scored(timed(each, evaluator.dataset, alpha), each.candidate.deployable, evaluator)
        for name, each in run.measured.items()
        if name != CONTROL
    }
    absent = {name: cause for name, cause in run.lost.items() if name not in run.measured}
    return _timings(recipe, candidates, run.measured, evaluator, sampling(run)).model_copy(
        update={
            "accuracy_drop": evaluator.drop(lineup.final),
            "steps": tuple(step(each, lineup.steps.get(n), candidates, absent) for n, each in enumerate(outcomes)),
            "data": {role: _described(dataset) for role, dataset in data.items() if dataset is not None},
            "notes": (*notes, *run.notes, *(f"{name} was not measured: {cause}" for name, cause in absent.items())),
            "differing": evaluator.differing(lineup.final),
        }
    )


def timings(
    recipe: Recipe, measured: Mapping[str, Measured], evaluator: Evaluator, sampling: Sampling
) -> Report:  # fmt: skip
    """Put together what is known while measuring still goes on: latencies and their ratios, and nothing else."""
    alpha = ALPHA / sampling.looks_planned
    candidates = {name: timed(each, evaluator.dataset, alpha) for name, each in measured.items() if name != CONTROL}
    return _timings(recipe, candidates, measured, evaluator, sampling)


def _timings(
    recipe: Recipe, candidates: Mapping[str, Candidate], measured: Mapping[str, Measured], evaluator: Evaluator,
    sampling: Sampling,
) -> Report:  # fmt: skip
    references = {name: candidates[name] for name in (SOURCE, BASELINE) if name in candidates}
    alpha, twice = ALPHA / sampling.looks_planned, (measured[BASELINE], measured[CONTROL])
    final = candidates[FINAL]
    speedups = {name: speedup(measured[FINAL], measured[name], twice, alpha) for name in references}
    speedups |= {
        name: found.model_copy(update={"median": 1.0, "ci95": (1.0, 1.0)})
        for name, found in speedups.items()
        if runs_alike(final, references[name])
    }
    return Report(
        name=recipe.name,
        created=now(),
        objective=recipe.objective.value,
        verdict="inconclusive",
        environment=environment(evaluator.hardware),
        baseline=references[BASELINE],
        references=references,
        final=final,
        speedup=speedups[BASELINE],
        speedups=speedups,
        accuracy_drop=None,
        steps=(),
        gates=(),
        data={},
        sampling=sampling,
    )


def source_name(source: Model) -> str:
    """Return the name under which the source model is a reference."""
    return SOURCE if source.kind == TORCH else BASELINE


def check_gates(recipe: Recipe, source: Model, stored: Collection[str]) -> None:
    """Raise ``RecipeError`` for a gate that this run will not be able to answer; ``stored`` names other reports."""
    known = source_name(source)
    for gate in recipe.gates:
        drop = gate.metric == "accuracy.drop_pt" and gate.vs not in {None, known, *stored}
        if drop or (gate.vs == SOURCE and source.kind != TORCH):
            raise RecipeError(
                f"the gate on {gate.metric} compares with '{gate.vs}', which this run has not", where="gates",
                expected=known, fix=f"vs: {known}, or leave `vs` out",
            )  # fmt: skip


def gates(recipe: Recipe) -> tuple[Gate, ...]:
    """Return the recipe's gates and, unless it says otherwise, those that always hold.

    A limit on the cosine, which is blind to size, brings limits on size along. And the result is not slower than the
    baseline: two equally fast models straddle 1.0 for ever, so an undecided comparison passes; only a measured loss
    fails. Where a step writes for a runtime that is not measured here, that one does not hold.
    """
    stated_or_implied = (*recipe.gates, *implied(recipe.gates))
    stated = any(gate.metric == "speedup.median" and gate.vs in {None, BASELINE} for gate in recipe.gates)
    if stated or recipe.objective is Objective.SIZE or any(step.config.foreign for step in recipe.passes):
        return stated_or_implied
    return (*stated_or_implied, Gate(metric="speedup.median", min=1.0, vs=BASELINE, on_inconclusive="pass"))


def timed(measured: Measured, dataset: Dataset, alpha: float, raw: str = RAW) -> Candidate:
    """Describe one measured model, but not how good its answers are; intervals have the error rate ``alpha``.

    ``raw`` names the file that holds, or will hold, the samples.
    """
    contender, model = measured.candidate, measured.candidate.model
    latency, clients = statistics.latency(measured.blocks, alpha), contender.concurrency
    batch = batch_of(dataset, model.inputs, contender.batch_size)
    return Candidate(
        name=contender.name,
        runtime=contender.deployable.runtime,
        options=contender.options.model_dump(mode="json") | ({"concurrency": clients} if clients > 1 else {}),
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
    )


def _scored(described: Candidate, judged: Deployable, evaluator: Evaluator) -> Candidate:
    return described.model_copy(update={"accuracy": evaluator.accuracy(judged), "fidelity": evaluator.fidelity(judged)})


def throughput(mean_ms: float, batch_size: int, clients: int) -> float:
    """Return the samples per second of ``clients`` that each wait for an answer before they ask again."""
    return 1e3 * batch_size * clients / mean_ms


def speedup(new: Measured, base: Measured, twice: tuple[Measured, Measured], alpha: float) -> Speedup:
    """Compare two models; ``twice`` are the two copies of one model that say how noisy the run was."""
    middle, low, high = statistics.speedup(base.blocks, new.blocks, alpha)
    copies = twice[0].blocks, twice[1].blocks
    return Speedup(
        median=middle, ci95=(low, high), vs=base.candidate.name, noise_floor=statistics.noise_floor(*copies, alpha),
        control=statistics.control(*copies, alpha),
    )  # fmt: skip


def sampling(run: Run, base: str = BASELINE, final: str = FINAL) -> Sampling:
    """Describe how the run went, by its baseline and its result."""
    rounds = min(len(run.measured[name].blocks) // 2 for name in (base, final))
    return Sampling(
        rounds=rounds, looks=run.looks, looks_planned=run.looks_planned, stopped=run.stopped, seconds=run.seconds,
        lost=run.lost,
    )  # fmt: skip


def step(
    outcome: Outcome, name: str | None, candidates: Mapping[str, Candidate], absent: Mapping[str, str] = {}
) -> Step:
    """Describe one step; what was not kept has the figures of its trial, if any."""
    measured: Candidate | Ruling | None = candidates.get(name) if name is not None else outcome.trial
    notes = dict(outcome.notes or {})
    if name is not None and name in absent:
        notes["not measured"] = absent[name]
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
        notes=notes,
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
