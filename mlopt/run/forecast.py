"""What a run would do, without doing it: the steps, what each needs, and whether the cache has it, or why not."""

from __future__ import annotations

from collections.abc import Sequence

from mlopt.core.cache_entry import Entry, Key
from mlopt.data.dataset import Dataset, open_dataset
from mlopt.formats.model import Kind, Model, TensorSpec
from mlopt.formats.table import opened
from mlopt.run import ahead, inputs
from mlopt.run.chain import source_kind
from mlopt.run.declared import fixed_inputs
from mlopt.run.fingerprint import Setting
from mlopt.run.forecast_steps import WHY_OPEN, Ahead, outlook_of_steps
from mlopt.run.optimize import planned_for
from mlopt.run.outlook import Outlook
from mlopt.run.planned import Planned
from mlopt.run.request import Request


def foresee(request: Request) -> tuple[list[Outlook], tuple[str, ...]]:
    """Return what ``mlopt.run.optimize.execute`` would do for this request, and notes on the order of its steps."""
    with planned_for(request) as planned:
        return outlook(planned), planned.notes


def foresee_times(request: Request) -> tuple[list[Outlook], tuple[str, ...]]:
    """Return the same with what each should take, and with what every run measures and writes."""
    with planned_for(request) as planned:
        rows, known = _looked_ahead(planned)
        return ahead.with_times(rows, planned, known, ahead.remembered(planned)), planned.notes


def outlook(planned: Planned) -> list[Outlook]:
    """Return the source, the data sets and the passes of a planned run, in order."""
    return _looked_ahead(planned)[0]


def _looked_ahead(planned: Planned) -> tuple[list[Outlook], ahead.Known]:
    recipe, base = planned.loaded.recipe, planned.loaded.base
    rows: list[Outlook] = []
    source_key = inputs.source_key(recipe, base, recipe.model.specs)
    model, digest, kind, specs = _source(planned, source_key, rows)
    sets: dict[str, Dataset] = {}
    for role in ("evaluation", "calibration", "train"):
        described = getattr(recipe.data, role)
        if described is None and role != "evaluation":
            continue
        keys = []
        if described is None and digest is not None:
            fixed = fixed_inputs(recipe, specs or ())
            keys = [inputs.made_up_key(recipe.name, digest, recipe.target.batch_size, fixed)]
        elif described is not None and specs:
            keys = [inputs.dataset_key(recipe, role, base, specs)]
        entry = _look(planned, keys, role, described.source if described else "synthetic samples", rows)
        if entry is not None:
            sets[role] = open_dataset(entry.out)
    unread = {role for role in ("calibration", "train") if getattr(recipe.data, role) and role not in sets}
    unread |= {"evaluation"} - sets.keys()
    digests = {role: each.digest for role, each in sets.items()}
    setting = Setting(
        name=recipe.name, passes=planned.passes, target=recipe.target, objective=recipe.objective,
        hardware=planned.hardware, inputs=specs or (), outputs=recipe.model.outputs,
        calibration_digest=digests.get("calibration"), train_digest=digests.get("train"),
        samples_digest=digests.get("evaluation", ""), budget=recipe.budget(base), source_digest=digest, base=base,
    )  # fmt: skip
    one_size = "evaluation" in sets and sets["evaluation"].one_size
    steps = outlook_of_steps(Ahead(planned, setting, kind, digest, frozenset(unread), one_size))
    return [*rows, *steps], ahead.size_of(model, sets.get("evaluation"), planned)


_Source = tuple[Model | None, str | None, Kind, tuple[TensorSpec, ...] | None]


def _source(planned: Planned, key: Key | None, rows: list[Outlook]) -> _Source:
    recipe = planned.loaded.recipe
    if key is None:
        model = inputs.source(
            recipe, planned.loaded.base, recipe.model.specs, planned.started.store, planned.started.scratch / "plan.log"
        ).model
        rows.append(Outlook("source", recipe.model.source, True, "a file, used as it is"))
        return model, model.digest, model.kind, model.inputs
    trained = "" if recipe.model.train is None else ", trained on data.train"
    entry = _look(planned, [key], "source", f"{recipe.model.source}{trained}", rows)
    if entry is None:
        return None, None, source_kind(recipe, planned.passes), recipe.model.specs or None
    declared, kind = recipe.model.specs, Kind(entry.result["kind"])
    path, log = entry.out / entry.result["path"], planned.started.scratch / "plan.log"
    made = None if declared else opened(kind, path, log)
    return made, entry.result["digest"], kind, declared or (made.inputs if made is not None else None)


def _look(planned: Planned, keys: Sequence[Key], name: str, detail: str, rows: list[Outlook]) -> Entry | None:
    """Add the row of one piece of work; ``keys`` are those under which its result may be."""
    if not keys:
        rows.append(Outlook(name, detail, None, WHY_OPEN))
        return None
    entry = next((found for key in keys if (found := planned.started.store.get(key)) is not None), None)
    why = "nothing changed" if entry is not None else planned.started.store.why_missing(keys[0])
    rows.append(Outlook(name, detail, entry is not None, why))
    return entry
