"""Requests of a recipe's own samples: what the artifact was judged on, read as ``mlopt optimize`` reads it.

An artifact holds its recipe, but neither the data nor the place that the recipe's paths start from, so the recipe has
to be named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from mlopt.artifact.sign import Digests
from mlopt.artifact.verify import Verified
from mlopt.claims import facts
from mlopt.core.errors import RecipeError
from mlopt.data.dataset import Samples
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec
from mlopt.passes.table import table
from mlopt.recipe.load import Loaded
from mlopt.recipe.sources import load_source
from mlopt.run import inputs
from mlopt.run.consent import consent_to_data
from mlopt.run.request import Request
from mlopt.run.start import silent, start

_ROLES = ("evaluation", "calibration", "train")
"""Whose samples are asked, the first that there is: those that nothing was fitted to come first."""


@dataclass(frozen=True)
class RecipeData:
    """The data set of a recipe that is asked for."""

    loaded: Loaded
    role: str

    @property
    def described(self) -> DataSource:
        """What the recipe says of it."""
        found: DataSource = getattr(self.loaded.recipe.data, self.role)
        return found

    def __str__(self) -> str:
        return f"{self.role} data of {self.loaded.path}"


@dataclass(frozen=True)
class RecipeSamples:
    """A recipe that is asked for samples once the inputs of a model are known; its Python may run if ``allow_code``."""

    path: Path
    allow_code: bool

    def __str__(self) -> str:
        return str(self.path)

    def give(
        self, specs: tuple[TensorSpec, ...], defaults: tuple[str, ...], most: int, verified: Verified | None
    ) -> tuple[Samples, str]:
        """Return samples, and whose they are; raises what ``of_recipe`` and ``samples`` raise."""
        data = of_recipe(self.path, allow_code=self.allow_code)
        found = samples(data, specs, defaults, most)
        return (found if verified is None else with_difference(found, data, verified)), str(data)


def of_recipe(path: Path, *, allow_code: bool) -> RecipeData:
    """Return what to ask for; raises ``RecipeError``, also where reading it would run Python without consent."""
    loaded = load_source(path, None, passes=table())
    role = next((role for role in _ROLES if getattr(loaded.recipe.data, role) is not None), None)
    if role is None:
        raise RecipeError("the recipe names no data to ask for", where=str(path), expected="data.evaluation",
                          fix="--data PATH names samples; without it they are made up")  # fmt: skip
    if problems := consent_to_data(loaded, role, code=allow_code):
        raise RecipeError.of(map(loaded.located, problems))
    return RecipeData(loaded, role)


def samples(data: RecipeData, specs: tuple[TensorSpec, ...], defaults: tuple[str, ...], most: int) -> Samples:
    """Return at most so many samples, which are like the whole, as inputs of ``specs``.

    Python of the recipe runs in a process of its own. Raises ``RecipeError`` if the recipe is of another model,
    ``DataError`` if its data are.
    """
    _check_inputs(data.loaded, specs)
    recipe, described = data.loaded.recipe, data.described
    few = described.model_copy(update={"limit": min(most, described.limit or most)})
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={data.role: few})})
    with start(Request(data.loaded.path, sign=False), silent) as started:
        found = inputs.dataset(
            recipe, data.role, data.loaded.base, specs, store=started.store, log=started.scratch / "data.log",
            defaults=defaults,
        )  # fmt: skip
        return Samples({name: np.array(array) for name, array in found.inputs.items()}, notes=found.notes)


def with_difference(read: Samples, data: RecipeData, verified: Verified) -> Samples:
    """Return the samples with a note, if the artifact's recipe says something else of its data."""
    held = facts.read(verified.directory, Digests(verified.root, dict(verified.files)))
    before = None if held is None else _described(held.recipe, data.role)
    if held is None or (before is not None and _placeless(before) == _placeless(data.described)):
        return read
    note = f"the artifact was made with a recipe that says something else of its {data.role} data"
    return replace(read, notes=(*read.notes, note))


def _described(recipe: Mapping[str, object], role: str) -> DataSource | None:
    roles = recipe.get("data")
    try:
        return DataSource.model_validate(roles.get(role)) if isinstance(roles, Mapping) else None
    except ValidationError:  # of another version of mlopt, which knows other keys
        return None


def _placeless(described: DataSource) -> DataSource:
    """Return it with the names of files alone: the same recipe may lie elsewhere, and its paths are relative."""
    labels = described.labels and Path(described.labels).name
    text = described.text and described.text.model_copy(update={"tokenizer": Path(described.text.tokenizer).name})
    named = {"source": Path(described.source).name, "labels": labels, "text": text}
    return described.model_copy(update=named)


def _check_inputs(loaded: Loaded, specs: Sequence[TensorSpec]) -> None:
    """Raise ``RecipeError`` if the recipe declares other inputs; where it declares none, its data show it."""
    declared, wanted = ({one.name: one.dtype for one in each} for each in (loaded.recipe.model.specs, specs))
    if declared and declared != wanted:
        raise RecipeError(
            "the recipe is of another model: it declares other inputs", where=f"{loaded.path}: model.inputs",
            got=_named(declared), expected=_named(wanted), fix="name the recipe that the artifact was made with",
        )  # fmt: skip


def _named(dtypes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in dtypes.items())
