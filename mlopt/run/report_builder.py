"""From measurements to the report: which candidates a run compares, and what their figures are worth.

Always measured beside the result: the source in its own framework, and the fair baseline, which is the unquantized
ONNX model in ONNX Runtime with all its graph optimizations, twice, so that the noise of this run is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlopt.core.errors import MeasureError, ModelError
from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Dataset
from mlopt.formats.model import ONNX, TORCH, Model
from mlopt.measure import figures, statistics
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.figures import Roles, Subject
from mlopt.recipe.schema import Recipe
from mlopt.report.control import runs_alike
from mlopt.results.figures import Sampling
from mlopt.results.report import CandidateRecord, Report, StepRecord
from mlopt.results.roles import BASELINE, COMPILED, CONTROL, FASTEST, FINAL, ON_REQUEST, SOURCE
from mlopt.run.outcomes import Outcome, TrialVerdict
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import deploy, runtime_named

ROLES = Roles(BASELINE, CONTROL, FINAL)


@dataclass(frozen=True)
class CandidateSet:
    """The candidates of one run: the references, each kept step's model, and the final one."""

    source: Deployable
    baseline: Deployable
    final: Deployable
    steps: Mapping[int, str]
    """For each step with a model of its own: its candidate's name."""
    candidates: tuple[Candidate, ...]


def candidate_set(
    source: Deployable, outcomes: Sequence[Outcome], batch_size: int, exported: Deployable | None = None,
    start: Deployable | None = None, beside: Mapping[str, Deployable] = {}, *, clients: int = 1,
) -> CandidateSet:  # fmt: skip
    """Choose what is measured; what occurs twice in the chain is measured once, the final one always.

    ``exported`` is the source in FP32 as ONNX, where the chain has no such model; ``start`` is the source as the target
    runs it, which is the result if no step is kept; ``beside`` is what else is to be compared with, by name.
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
    of_their_own = {each.identity for each in (final, *found.values())}
    found |= {name: each for name, each in beside.items() if each.identity not in of_their_own}
    found[FINAL] = final
    candidates = tuple(Candidate(name, each, batch_size, clients) for name, each in found.items())
    return CandidateSet(source, baseline, final, steps, candidates)


def report(
    recipe: Recipe, candidate_set: CandidateSet, outcomes: Sequence[Outcome], run: Run, evaluator: Evaluator, *,
    data: Mapping[str, Dataset] = {}, notes: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Put the evidence together. The verdict is inconclusive until the gates have been judged.

    ``run`` has measured at least the baseline, its second copy and the final model; what else was lost is left out,
    with a note.
    """
    alpha = statistics.ALPHA / run.looks_planned
    absent = {name: cause for name, cause in run.lost.items() if name not in run.measured}
    candidates = {}
    for name, found in described(run.measured, evaluator.dataset, alpha).items():
        try:
            candidates[name] = _scored(found, run.measured[name].candidate.deployable, evaluator)
        except (MeasureError, ModelError) as error:
            if name not in ON_REQUEST:
                raise
            absent[name] = f"{error.problems[0].what}: {error.problems[0].got}"
    for name in {SOURCE, COMPILED} & candidates.keys():  # the baseline is this model, only exported
        candidates[name] = candidates[name].model_copy(update={"macs": candidates[BASELINE].macs})
    return timings(recipe, evaluator.hardware, candidates, run.measured, figures.sampling(run, ROLES)).model_copy(
        update={
            "accuracy_drop": evaluator.drop(candidate_set.final),
            "steps": _steps(outcomes, candidate_set.steps, candidates, absent),
            "data": {role: _of_data(dataset) for role, dataset in data.items()},
            "notes": (
                *notes,
                *run.notes,
                *_carried(candidate_set.final),
                *(f"{name} was not measured: {cause}" for name, cause in absent.items()),
            ),
            "differing": evaluator.differing(candidate_set.final),
        }
    )


def _carried(final: Deployable) -> Iterator[str]:
    """Say of files that the shipped model brings along, and that its runtime does not read, that nobody ran them."""
    names = [file.stem for file in final.model.carried if file.suffix != ".json"]
    if names and runtime_named(final.runtime).kinds != {final.model.kind}:
        yield (
            f"the engines beside the model ({', '.join(names)}) were built and not run: every figure is of "
            f"{final.model.path.name}, in {final.runtime}"
        )


def described(measured: Mapping[str, Measured], dataset: Dataset, alpha: float) -> dict[str, CandidateRecord]:
    """Describe each model that was measured, the baseline's second copy left out."""
    return {name: figures.timed(each, dataset, alpha) for name, each in measured.items() if name != CONTROL}


def timings(
    recipe: Recipe, hardware: Hardware, candidates: Mapping[str, CandidateRecord], measured: Mapping[str, Measured],
    sampling: Sampling,
) -> Report:  # fmt: skip
    """Put together latencies and their ratios, and nothing else; the verdict is inconclusive until it is judged.

    ``measured`` has at least the baseline, its second copy and the final model.
    """
    subject = Subject(recipe.name, recipe.objective.value, ROLES, hardware)
    references = [name for name in (SOURCE, COMPILED, BASELINE, FASTEST) if name in candidates]
    report = figures.report(subject, candidates, measured, references, statistics.ALPHA / sampling.looks_planned)
    speedups = {
        name: found.model_copy(update={"median": 1.0, "ci95": (1.0, 1.0)})
        if runs_alike(report.final, report.references[name])
        else found
        for name, found in report.speedups.items()
    }
    return report.model_copy(update={"speedup": speedups[BASELINE], "speedups": speedups, "sampling": sampling})


def source_name(source: Model) -> str:
    """Return the name under which the source model is a reference."""
    return SOURCE if source.kind == TORCH else BASELINE


def _scored(described: CandidateRecord, judged: Deployable, evaluator: Evaluator) -> CandidateRecord:
    return described.model_copy(update={"accuracy": evaluator.accuracy(judged), "fidelity": evaluator.fidelity(judged)})


def _steps(
    outcomes: Sequence[Outcome], names: Mapping[int, str], candidates: Mapping[str, CandidateRecord],
    absent: Mapping[str, str],
) -> tuple[StepRecord, ...]:  # fmt: skip
    """Describe the steps; a PyTorch model has the MACs of the graph that the next kept step makes of it."""
    found: list[StepRecord] = []
    exported: int | None = None
    for n, outcome in reversed([*enumerate(outcomes)]):
        one = step(outcome, names.get(n), candidates, absent)
        if outcome.kept is not None:
            if one.macs is None and outcome.kept.model.kind == TORCH:
                one = one.model_copy(update={"macs": exported})
            exported = one.macs if outcome.kept.model.kind != TORCH else None
        found.append(one)
    return tuple(reversed(found))


def step(
    outcome: Outcome, name: str | None, candidates: Mapping[str, CandidateRecord], absent: Mapping[str, str] = {}
) -> StepRecord:
    """Describe one step; what was not kept has the figures of its trial, if any."""
    measured: CandidateRecord | TrialVerdict | None = candidates.get(name) if name is not None else outcome.trial
    notes = dict(outcome.notes or {})
    if name is not None and name in absent:
        notes["not measured"] = absent[name]
    return StepRecord(
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
        macs=next((one.macs for one in (measured, outcome.trial) if one is not None and one.macs is not None), None),
        notes=notes,
    )


def _of_data(dataset: Dataset) -> dict[str, Any]:
    return {"source": dataset.source, "samples": dataset.count, "digest": dataset.digest}
