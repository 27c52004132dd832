"""Samples that a Python function of the recipe returns."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlopt.core.errors import DataError, MloptError
from mlopt.core.usercode import CodeReference, with_traceback
from mlopt.data.dataset import Samples
from mlopt.data.unequal import as_array

if TYPE_CHECKING:
    from mlopt.formats.model import TensorSpec


def call(code: CodeReference, inputs: Sequence[TensorSpec] = ()) -> Samples:
    """Call a recipe's data function; it returns ``{input: array}`` or ``({input: array}, labels)``."""
    try:
        result = code.load()()
    except MloptError:
        raise
    except Exception as error:  # a recipe's own code may raise anything; it is the user's to fix
        failed = DataError("the function failed", where=_last_line(code, error), got=in_a_line(error))
        raise with_traceback(failed, error) from error
    given, labels = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise _no_samples(code, given, [spec.name for spec in inputs])
    arrays = {name: as_array(array, f"{code}: input '{name}'") for name, array in given.items()}
    return Samples(arrays, None if labels is None else as_array(labels, f"{code}: labels"))


def _no_samples(code: CodeReference, given: object, names: Sequence[str]) -> DataError:
    """Say how what was returned becomes samples."""
    named = names or ["input"]
    whole = ", ".join(f"{name!r}: ..." for name in named)
    fix = f"return {{{whole}}}, each an array of all samples"
    if isinstance(given, dict):
        fix += "; its keys are the names of the model's inputs"
    elif not hasattr(given, "shape") and hasattr(given, "__iter__"):
        stacked = ", ".join(f"{name!r}: numpy.stack([s[{name!r}] for s in samples])" for name in named)
        fix = f"of samples that are dictionaries, return {{{stacked}}}; each array holds all samples"
    return DataError(
        "the function returns something else than samples", where=str(code), got=type(given).__name__,
        expected="{input: array} or ({input: array}, labels), with text as keys", fix=fix,
    )  # fmt: skip


def _last_line(code: CodeReference, error: Exception) -> str:
    """Where in the recipe's own file the error arose."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(code.path)]
    return f"{code.path}:{frames[-1].lineno}" if frames else str(code)


def in_a_line(error: BaseException) -> str:
    """Return the kind of an error and what it says."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
