"""What a recipe would run or unpickle, and the user has to agree to before anything is read."""

from __future__ import annotations

from pathlib import Path

from mlopt.core.errors import Problem
from mlopt.formats.torch.scripted import scripted_of
from mlopt.formats.torch.weights import is_pickle, refused_pickle
from mlopt.recipe.load import Loaded


def consent(loaded: Loaded, *, code: bool, pickles: bool) -> list[Problem]:
    """Return what the recipe names and the user did not agree to: code that would run, weights in a pickle."""
    problems = [] if code else [_runs_python(key, str(reference)) for key, reference in loaded.code.items()]
    model = loaded.recipe.model
    if not code and (scripted := scripted_of(model.source, loaded.base)) is not None:
        problems.append(_runs_scripted(scripted))
    if not pickles and model.weights is not None and is_pickle(Path(model.weights)):
        problems.append(refused_pickle("model.weights", Path(model.weights)))
    return problems


def consent_to_data(loaded: Loaded, role: str, *, code: bool) -> list[Problem]:
    """Return the function that would run if the data of a role alone were read, and that the user did not agree to."""
    key = f"data.{role}.source"
    reference = loaded.code.get(key)
    return [] if code or reference is None else [_runs_python(key, str(reference))]


def _runs_python(key: str, code: str) -> Problem:
    return Problem("this runs Python, which takes your consent", key, code, fix="read that code, then add --allow-code")


def _runs_scripted(file: Path) -> Problem:
    return Problem(
        "this is a TorchScript file, whose code runs in PyTorch's interpreter, which is no sandbox: that takes your "
        "consent", "model.source", str(file), fix="where you trust whoever made it, add --allow-code",
    )  # fmt: skip
