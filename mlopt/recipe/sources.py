"""What a command may be given instead of a recipe: a model's file, a folder of one, or a folder that holds a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlopt.core.errors import ModelError, RecipeError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.formats.filetype import MODEL, RECIPE, told
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.table import BUILTIN, format_for
from mlopt.formats.torch.pretrained import is_pretrained, read_pretrained
from mlopt.formats.torch.pretrained_source import interface
from mlopt.formats.torch.scripted import is_scripted
from mlopt.passes.base import Pass
from mlopt.recipe.generate import draft_for_model
from mlopt.recipe.load import Loaded, load, parse
from mlopt.recipe.pretrained import draft_for_pretrained
from mlopt.recipe.scripted import draft_for_scripted

_YAML = (".yaml", ".yml")
_EXPECTED = "a recipe (.yaml), a model (.onnx), or a folder with one of them or with a Hugging Face model"
_SHOWN = 8


def load_source(
    source: Path, data: Path | None, *, passes: Mapping[str, Pass[Any]], overrides: Sequence[str] = ()
) -> Loaded:
    """Load a recipe (.yaml, .yml), or make and load one for a model and its ``data``.

    A model is an .onnx file, a TorchScript file, or a folder of a Hugging Face model; a folder with a recipe in it
    stands for that. A recipe that is made stands, as far as its relative paths matter, beside the model. Raises
    ``RecipeError``, ``ModelError``, ``DataError`` or ``MissingPackage``.
    """
    found = recipe_in(source) if source.is_dir() else source
    if found is not None and found.suffix in _YAML:
        if data is not None:
            fix = "name the data in the recipe, under data.evaluation and data.calibration"
            raise RecipeError("--data is only for a bare model", where=str(found), got=f"--data {data}", fix=fix)
        return load(found, passes=passes, overrides=overrides)
    draft, path = draft_for(source, data), beside(source)
    return replace(parse(draft(path), path, passes=passes, overrides=overrides), draft=draft)


def draft_for(source: Path, data: Path | None) -> Callable[[Path], str]:
    """Return the recipe for a model as a function of where it is to stand; raises what ``load_source`` raises."""
    if source.is_dir():
        return _of_folder(source, data)
    if is_scripted(source):
        return draft_for_scripted(source, data).text
    if source.suffix != ".onnx":
        raise _no_model(source)
    return draft_for_model(open_onnx(source), data).text


def beside(model: Path) -> Path:
    """Return where the recipe of a model stands, unless it is written elsewhere."""
    return model.absolute().with_name(f"{model.absolute().name}.yaml") if model.is_dir() else model.with_suffix(".yaml")


def recipe_in(folder: Path) -> Path | None:
    """Return the one recipe in a folder; None if it holds a Hugging Face model instead.

    Raises ``RecipeError`` if there are several, or neither.
    """
    if (folder / "mlopt.json").is_file():
        raise RecipeError("this is an artifact: it is optimized already", where=str(folder), expected=_EXPECTED,
                          fix=f"mlopt report {folder} shows it; to optimize anew, name its recipe")  # fmt: skip
    texts = sorted(path for path in folder.iterdir() if path.suffix in _YAML and path.is_file())
    recipes = [path for path in texts if (kind := told(path)) is not None and kind.name == RECIPE]
    model = is_pretrained(folder)
    found = recipes or ([] if model else texts)
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RecipeError(
            "several recipes are in this folder", where=str(folder),
            got=", ".join(path.name for path in found[:_SHOWN]) + more, expected="one, or the path of one",
            fix=f"name it: {found[0]}",
        )  # fmt: skip
    if not found and not model:
        raise _nothing_in(folder)
    return found[0] if found else None


def _nothing_in(folder: Path) -> RecipeError:
    models = sorted(folder.glob("*.onnx"))
    got = ", ".join(path.name for path in models[:_SHOWN]) if models else None
    fix = f"name the file: {models[0]}" if models else "check the path"
    what = "neither a recipe nor a Hugging Face model is in this folder"
    return RecipeError(what, where=str(folder), got=got, expected=_EXPECTED, fix=fix)


def _of_folder(folder: Path, data: Path | None) -> Callable[[Path], str]:
    """Ask transformers, in a process of its own, what the folder's model takes."""
    read_pretrained(folder.absolute())
    with TemporaryDirectory(prefix="mlopt-look-") as scratch:
        try:
            found, inputs = run_in_worker(Path(scratch) / "look.log", interface, folder.absolute())
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise ModelError("transformers cannot load this model", where=str(folder), got=str(error)) from error
    return draft_for_pretrained(found, inputs, data).text


def _no_model(source: Path) -> RecipeError:
    """Return what to say of a file that is neither a recipe nor a model that recipes are made for, by its name."""
    known = format_for(source) if source.is_file() else None
    if known is not None and known not in BUILTIN:
        return RecipeError(
            f"mlopt makes no recipe for {known.label} model", where=str(source), expected="an ONNX model, or a recipe",
            fix=f"write a recipe with model: {{source: ./{source.name}}} and passes that take it",
        )  # fmt: skip
    if not source.exists():
        return RecipeError("there is no such file", where=str(source), expected=_EXPECTED, fix="check the path")
    kind, fix = told(source), "check the path, or download the file again"
    if kind is None:
        empty = source.is_file() and not source.stat().st_size
        what = "the file is empty" if empty else "mlopt cannot tell what this is"
        return RecipeError(what, where=str(source), expected=_EXPECTED, fix=fix)
    what, fix = f"this is {kind.name}, where a recipe or a model belongs", kind.fix
    if kind.name in (RECIPE, MODEL):
        what = f"this is {kind.name}, by its content, under a name that does not say so"
        fix = f"rename it to {source.with_suffix('.onnx' if kind.name == MODEL else '.yaml')}"
    return RecipeError(what, where=str(source), expected=_EXPECTED, fix=fix)
