"""What steps would fix in a model, held against the source and the data before any pass runs.

Names, dtypes and free sizes are the source's throughout: no pass changes them but by saying so in its configuration. So
a name that no input has, and a sample of another value, are errors of the recipe, with their place in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mlopt.core.errors import Problem, RecipeError
from mlopt.data.dataset import Dataset
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.table import format_for
from mlopt.passes.base import Interface, PassConfig
from mlopt.recipe.load import Loaded
from mlopt.recipe.schema import Recipe


def fixed_inputs(recipe: Recipe, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Return what the steps leave of the source's inputs; nothing if that is all of them."""
    interface = Interface(inputs)
    for _, config, before in _steps(recipe, interface):
        interface = config.narrowed(before)
    return () if interface.inputs == inputs else interface.inputs


def foreseen(loaded: Loaded) -> Iterator[Problem]:
    """Yield what is wrong with the steps as far as the inputs are known before any work: declared, or in a file."""
    recipe, path = loaded.recipe, loaded.base / loaded.recipe.model.source
    if all(type(step.config).misfits is PassConfig.misfits for step in recipe.passes):
        return
    if recipe.model.specs:
        yield from misfits(recipe, Interface(recipe.model.specs))
    elif path.is_file() and (found := format_for(path)) is not None and not found.heavy:
        yield from misfits(recipe, Interface.of(found.open(path)))


def misfits(recipe: Recipe, source: Interface) -> Iterator[Problem]:
    """Yield what the steps would fix, but that the source does not have or take; ``where`` is the recipe's key."""
    for key, config, before in _steps(recipe, source):
        yield from _at(key, config.misfits(before))


def check_data(loaded: Loaded, source: Model, data: Mapping[str, Dataset]) -> None:
    """Raise ``RecipeError`` if samples, by the role of the data, are not of the sizes and values that are fixed."""
    recipe = loaded.recipe
    problems = [
        problem
        for key, config, before in _steps(recipe, Interface.of(source))
        for role, samples in data.items()
        for problem in _at(key, config.unlike(before, samples, role, recipe.target.batch_size))
    ]
    if problems:
        raise RecipeError.of(map(loaded.located, dict.fromkeys(problems)))


def _steps(recipe: Recipe, interface: Interface) -> Iterator[tuple[str, PassConfig, Interface]]:
    """Yield each step's key, its configuration, and what it gets of the source's interface."""
    for number, step in enumerate(recipe.passes):
        yield f"passes.{number}.{step.name}", step.config, interface
        interface = step.config.narrowed(interface)


def _at(key: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    for problem in problems:
        yield replace(problem, where=f"{key}.{problem.where}")
