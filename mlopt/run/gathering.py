"""The source model and the data sets of a planned run: read or built, and held against the recipe and each other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mlopt.core.errors import RecipeError
from mlopt.data.dataset import Dataset, check_disjoint
from mlopt.data.fitting import check_fed, check_finite
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.scripted import scripted_of
from mlopt.passes.base import Context, Interface
from mlopt.run import chain, declared, inputs
from mlopt.run.planned import Planned
from mlopt.run.scripted_export import make_scripted
from mlopt.run.source_training import make_trained
from mlopt.run.start import Started
from mlopt.runtimes.base import Deployable


def source(planned: Planned) -> inputs.Source:
    """Return the source model, which fits the chain and can be fed."""
    recipe, base, started = planned.loaded.recipe, planned.loaded.base, planned.started
    specs, samples = recipe.model.specs, None
    if specs and recipe.data.evaluation:  # checked before a model is built, which may take long
        started.notify("data", "reading and checking", None)
        samples = _read(planned, "evaluation", specs)
    maker = _training(planned, samples) or _export(planned, samples)
    started.notify("source", recipe.model.source, None)
    built = inputs.source(
        recipe, base, specs, started.store, log(started), samples, maker=maker,
    )  # fmt: skip
    model = built.model
    misfits = [*chain.misfits(model.kind, recipe, planned.passes), *declared.misfits(recipe, Interface.of(model))]
    if misfits:  # Python may return either kind
        raise RecipeError.of(map(planned.loaded.located, misfits))
    check_fed(model)
    return built


def _training(planned: Planned, evaluation: Dataset | None) -> inputs.Maker | None:
    """Return what trains the source, on nothing of ``evaluation``, if the recipe says that mlopt does."""
    recipe, specs = planned.loaded.recipe, planned.loaded.recipe.model.specs
    if recipe.model.train is None or not specs:
        return None
    planned.started.notify("data", "reading what the source is trained on", None)
    train = _read(planned, "train", specs)
    if evaluation is not None:
        check_disjoint(train, evaluation, "train")
    context = Context(
        out=planned.started.scratch, target=recipe.target, objective=recipe.objective, hardware=planned.hardware,
        train=train, inputs=specs, outputs=recipe.model.outputs, base=planned.loaded.base,
    )  # fmt: skip
    return partial(make_trained, settings=recipe.model.train, context=context)


def _export(planned: Planned, samples: Dataset | None) -> inputs.Maker | None:
    """Return what makes an ONNX model of the source, if that is a TorchScript file."""
    scripted = scripted_of(planned.loaded.recipe.model.source, planned.loaded.base)
    return None if scripted is None else partial(make_scripted, samples=samples)


def data(planned: Planned, deployable: Deployable) -> tuple[Dataset, dict[str, Dataset]]:
    """Return the evaluation samples, and what passes calibrate and train on, which share none with them."""
    recipe, started, source = planned.loaded.recipe, planned.started, deployable.model
    if recipe.data.evaluation:
        evaluation = _read(planned, "evaluation", source.inputs, source.defaults)
    else:
        size, fixed = recipe.target.batch_size, declared.fixed_inputs(recipe, source.inputs)
        evaluation = inputs.made_up(recipe.name, deployable, size, started.store, log(started), fixed)
    fitted = {
        role: _read(planned, role, source.inputs, source.defaults)
        for role in ("calibration", "train")
        if getattr(recipe.data, role) is not None
    }
    declared.check_data(planned.loaded, source, {"evaluation": evaluation, **fitted})
    for role, each in fitted.items():
        check_disjoint(each, evaluation, role)
    for each in (evaluation, *fitted.values()):
        check_finite(each, deployable, log(started))
    return evaluation, fitted


def _read(planned: Planned, role: str, specs: tuple[TensorSpec, ...], defaults: tuple[str, ...] = ()) -> Dataset:
    loaded, started = planned.loaded, planned.started
    return inputs.dataset(
        loaded.recipe, role, loaded.base, specs, store=started.store, log=log(started), defaults=defaults
    )


def log(started: Started) -> Path:
    """Return the file that gets what is printed meanwhile."""
    return started.scratch / "prepare.log"
