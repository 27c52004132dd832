"""What ``mlopt bench`` does: models side by side without a recipe, in the same report that a recipe ends in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import product, starmap
from pathlib import Path

from mlopt.bench.comparison import Comparison
from mlopt.core.errors import GateError, MeasureError, Problem
from mlopt.core.hardware import detect
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.data.feeds import batch_of, check_inputs
from mlopt.data.fitting import check_fed, check_finite, make_up, narrowest
from mlopt.data.given_sizes import Shapes
from mlopt.data.made_up import fixes as made_up_fixes
from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.gate.limits import Gate
from mlopt.gate.vocabulary import METRICS, SERVING
from mlopt.measure import operators, statistics
from mlopt.measure.candidate import Candidate
from mlopt.measure.schedule import Schedule
from mlopt.measure.sweep import Load, sweep
from mlopt.results.figures import Speedup, SweepPoint
from mlopt.results.report import CandidateRecord as Described
from mlopt.results.report import Report
from mlopt.runtimes.table import other_runtime, runtime_named

Notify = Callable[[str, str, float | None], None]
"""Called with the stage at hand, within it the detail, and the share of the stage that is done."""

_ROUNDS = 10


@dataclass(frozen=True)
class BenchRequest:
    """What is measured and how.

    ``seconds`` is the timed seconds for each model at the first look, ``max_time`` the wall time in which undecided
    gates may ask for more. Of ``batch_sizes``, ``threads`` and ``concurrency`` the first ones are those of the
    comparison; if there are more, every model is also measured at every combination. No ``threads`` means the cores,
    or what an artifact was shipped with. In each of ``runtimes`` every model is measured; none means the one in
    which it is deployed. ``shapes`` are those of inputs that are made up, where
    there are no ``data``. ``baselines`` are the stored reports that gates compare with, by what ``vs`` calls them;
    ``raw`` names the file that the samples will be written to.
    """

    models: tuple[Path, ...]
    against: Path | None = None
    runtimes: tuple[str, ...] = ()
    data: Path | None = None
    shapes: Shapes = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    baselines: Mapping[str, Report] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = ()
    concurrency: tuple[int, ...] = (1,)
    seconds: float = 3.0
    max_time: float = 120.0
    operators: bool = False
    raw: str = "bench.samples.json"


@dataclass(frozen=True)
class Result:
    """What was found. ``report`` is None if the baseline, its second copy or the last model was lost."""

    report: Report | None
    candidates: Mapping[str, Described]
    speedups: Mapping[str, Speedup]
    """Of each model against the first, by its name."""
    lost: Mapping[str, str]
    """For each candidate whose process died: the cause."""
    blocks: Mapping[str, Sequence[Sequence[float]]]
    fixes: Mapping[str, str] = field(default_factory=dict)
    """For those of the lost where that is known: what to do."""


def run(request: BenchRequest, notify: Notify) -> Result:
    """Measure the models (files, or artifacts) on the same samples, and judge the gates; raises ``MloptError``.

    A model whose process dies is told in ``Result.lost``, and the others are measured all the same. The gates are then
    judged only if none of them needs it.
    """
    candidates = _candidates(request)
    _check_gates(request.gates, [each.name for each in candidates], request.baselines)
    with tempfile.TemporaryDirectory(prefix="mlopt-bench-") as name:
        dataset = _dataset(request, candidates, Path(name) / "data")
        notes = (
            *_places(candidates, request.runtimes),
            *_remarks(candidates),
            *dataset.notes,
            *_same_sizes(candidates, dataset, request.batch_sizes[0]),
        )
        comparison = _comparison(request, candidates, dataset)
        done = comparison.measure(partial(notify, "measure"))
        measured = {name: each for name, each in done.measured.items() if name not in done.lost}
        described, lost = comparison.described(measured), _without_echo(done.lost, comparison)
        fixes = done.fixes if request.data is not None else made_up_fixes(candidates[0].model.inputs, lost) | done.fixes
        if not comparison.roles.all <= set(measured):
            return Result(None, described, {}, lost, done.blocks, fixes)
        survivors = [each for each in candidates if each.name in described]
        points, left_out = _sweep(request, survivors, dataset, notify)
        timed = survivors if request.operators else []
        profiled = operators.profiles(timed, dataset, Path(name), partial(notify, "operators"))
    report = comparison.report(measured).model_copy(
        update={
            "sampling": comparison.sampling(done), "sweep": points, "operators": profiled.operators,
            "layers": profiled.layers, "notes": (*notes, *done.notes, *left_out, *profiled.notes),
        }
    )  # fmt: skip
    speedups = {name: comparison.speedup(measured, comparison.first, name) for name in described}
    return Result(comparison.judged(report, measured), described, speedups, lost, done.blocks, fixes)


def _comparison(request: BenchRequest, candidates: tuple[Candidate, ...], dataset: Dataset) -> Comparison:
    looks = statistics.LOOKS if request.gates else 1
    least = statistics.samples_for_percentile(0.95, statistics.ALPHA / looks)
    return Comparison(
        name=_title(request.models[-1]), candidates=candidates, dataset=dataset, hardware=detect(),
        schedule=Schedule(request.seconds, _ROUNDS, request.max_time, looks=looks, least=least), gates=request.gates,
        baselines=request.baselines, raw=request.raw,
    )  # fmt: skip


def _sweep(
    request: BenchRequest, candidates: Sequence[Candidate], dataset: Dataset, notify: Notify
) -> tuple[tuple[SweepPoint, ...], tuple[str, ...]]:
    """Measure at all loads, if there is more than the comparison's; return also what could not be."""
    loads = _loads(request)
    return sweep(candidates, loads, dataset, partial(notify, "sweep")) if len(loads) > 1 else ((), ())


def _without_echo(lost: Mapping[str, str], comparison: Comparison) -> dict[str, str]:
    """Leave out the second copy of a baseline that was lost itself."""
    echo = comparison.roles.control if comparison.first in lost else None
    return {name: cause for name, cause in lost.items() if name != echo}


def _candidates(request: BenchRequest) -> tuple[Candidate, ...]:
    """Open each path; an artifact is measured as it was shipped, unless threads are given."""
    from mlopt.artifact.deployed import given

    found: dict[str, Candidate] = {}
    for path in ((request.against,) if request.against is not None else ()) + request.models:
        deployable = given(path)
        for runtime in request.runtimes or (None,):
            name = _free_name(_name(path, runtime), found)
            chosen = other_runtime(deployable, runtime) if runtime else deployable
            found[name] = _loads(request)[0].on(Candidate(name, chosen))
    return tuple(found.values())


def named(paths: Iterable[Path | None], runtimes: Sequence[str]) -> set[str]:
    """Return what the candidates are called that these paths are measured as, so that no gate's ``vs`` is a file."""
    return {_name(path, runtime) for path in paths for runtime in runtimes or (None,) if path is not None}


def _name(path: Path, runtime: str | None) -> str:
    return f"{path} ({runtime})" if runtime else str(path)


def _loads(request: BenchRequest) -> tuple[Load, ...]:
    """Return every combination; the first is that of the comparison."""
    return tuple(starmap(Load, product(request.batch_sizes, request.threads or (None,), request.concurrency)))


def _free_name(given: str, taken: Collection[str]) -> str:
    """Return what a candidate is called: its path as it was given, numbered if it was given before."""
    names = (given, *(f"{given} ({number})" for number in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)


def _title(path: Path) -> str:
    whole = path.resolve()
    return whole.name if whole.is_dir() else whole.stem


def _dataset(request: BenchRequest, candidates: Sequence[Candidate], folder: Path) -> Dataset:
    """Store the samples, made up if there are none; raises ``DataError`` or ``MeasureError`` if a model takes others.

    Models are compared only where they are fed alike, so a conversion of dtypes for one of them would not do.
    """
    first, log, data = candidates[0], folder.with_suffix(".log"), request.data
    specs = first.model.inputs
    for each in candidates:
        check_fed(each.model)
    for other in candidates[1:]:
        if {spec.name: spec.dtype for spec in other.model.inputs} != {spec.name: spec.dtype for spec in specs}:
            raise MeasureError(
                "only models with the same inputs can be compared", where=other.name,
                got="; ".join(map(str, other.model.inputs)), expected="; ".join(map(str, specs)),
                fix="measure it in a run of its own",
            )  # fmt: skip
    if data is None:
        model = narrowest([each.deployable for each in candidates])
        dataset = make_up(model, request.batch_sizes[0], folder, log, request.shapes)
    else:
        given = read(DataSource(source=str(data.resolve())), Path(), specs, first.model.defaults)
        dataset = store(given, folder, str(data))
        check_finite(dataset, first.deployable, log)
    for other in candidates:
        check_inputs(Samples(dataset.inputs), other.model.inputs, other.name)
    return dataset


def _places(candidates: Sequence[Candidate], asked: Collection[str]) -> tuple[str, ...]:
    """Return in what each runs, where they differ, and their names do not tell."""
    same = len({each.deployable.runtime for each in candidates}) < 2
    return () if asked or same else tuple(f"{each.name} runs in {each.deployable.where}" for each in candidates)


def _remarks(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return what the runtime does differently on this CPU than where a model was made."""
    said = ((each.name, runtime_named(each.deployable.runtime).remark(each.model, each.options)) for each in candidates)
    return tuple(f"{name}: {text}" for name, text in said if text is not None)


def _check_gates(gates: Sequence[Gate], names: Sequence[str], stored: Collection[str]) -> None:
    """Raise ``GateError``, before anything is measured, for every gate that this run could not answer."""
    problems = []
    for gate in gates:
        where = f"gate {gate.metric} {gate.limit}"
        of_speedup, compares = gate.metric.startswith("speedup."), METRICS[gate.metric].takes_vs
        if gate.metric.startswith(("accuracy.", "fidelity.")):
            fix = "write a recipe with a `metric` and `data.evaluation`, and run mlopt optimize"
            problems.append(Problem("bench measures speed and size, not accuracy", where, fix=fix))
        elif gate.metric.startswith(SERVING):
            fix = "put load on a server: mlopt loadtest URL --gate LIMIT"
            problems.append(Problem("bench starts no server and puts no load on one", where, fix=fix))
        elif compares and len(names) == 1 and (of_speedup or gate.vs in {None, *names}):
            fix = "name the model to compare with: --against MODEL"
            problems.append(
                Problem(f"one model on its own has no {'speedup' if of_speedup else 'ratio'}", where, fix=fix)
            )
        elif compares and gate.vs == names[-1]:
            fix = f"vs: {names[0]}, or leave `vs` out"
            problems.append(Problem("the gate compares the last model with itself", where, gate.vs, fix=fix))
        elif gate.vs is not None and gate.vs not in names and gate.vs not in stored:
            close = get_close_matches(gate.vs, names, 1)
            fix = f"did you mean '{close[0]}'?" if close else "name a model of this run, or leave `vs` out"
            problem = "the gate compares with a model that is not measured"
            problems.append(Problem(problem, where, gate.vs, ", ".join(names), fix))
    if problems:
        raise GateError.of(problems)


def _same_sizes(candidates: Sequence[Candidate], dataset: Dataset, wanted: int) -> tuple[str, ...]:
    """Return a note if the models' batch is fixed at another size; raises ``MeasureError`` if the models disagree."""
    sizes = {each.name: batch_of(dataset, each.model.inputs, wanted) for each in candidates}
    if len(set(sizes.values())) > 1:
        every = [size for size in sorted(set(sizes.values())) if _all_take(candidates, dataset, size)]
        raise MeasureError(
            "the models take different numbers of samples in one inference, so their latencies cannot be compared",
            got=", ".join(f"{name}: {size}" for name, size in sizes.items()), expected="one batch size",
            fix=f"--batch {every[0]}, which all of them take" if every else "measure them in runs of their own",
        )  # fmt: skip
    size = sizes[candidates[0].name]
    return () if size == wanted else (f"--batch {wanted} does not apply: the models take {size} in one inference",)


def _all_take(candidates: Sequence[Candidate], dataset: Dataset, size: int) -> bool:
    return all(batch_of(dataset, each.model.inputs, size) == size for each in candidates)
