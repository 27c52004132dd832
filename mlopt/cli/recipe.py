"""``mlopt recipe``: make a recipe for a model, check one, or print the schema that editors use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime

if TYPE_CHECKING:
    from mlopt.core.errors import Problem
    from mlopt.recipe.load import Loaded

app = typer.Typer(help="Make and check recipes.", no_args_is_help=True)

_ANYWHERE = "Only what is wrong on any machine: neither packages nor hardware are asked for."


@app.command()
def init(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="A .onnx file, or a Hugging Face folder.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .npz by input, a folder of images, or a .jsonl file."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write it; <model>.yaml if absent.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="An example instead: onnx, torch-image, torch-text, sklearn or detector."),
    ] = None,
) -> None:
    """Write the recipe that `mlopt optimize MODEL` would use, or a template's, which runs as written, to be edited."""
    from mlopt.core.errors import UserError
    from mlopt.formats.torch.scripted import is_scripted
    from mlopt.recipe.templates import NAMES, files_of

    if template is not None:
        if template not in NAMES:
            raise UserError("there is no such template", got=template, expected=", ".join(NAMES))
        if model is not None or data is not None:
            raise UserError("a template has a model and data of its own", got=str(model or data), fix="leave it out")
        recipe, *others = files_of(template).items()
        path = output or Path(recipe[0])
        _write({path.with_name(name): text for name, text in others} | {path: recipe[1]})
    elif model is None:
        raise UserError("neither a model nor a template is named", fix=f"--template {NAMES[0]}, or the path of a model")
    else:
        path = output or Path(f"{model.absolute().name if model.is_dir() else model.stem}.yaml")
        _write({path: _drafted(model, data, path)})
    from mlopt.cli.console import err

    consent = " --allow-code  (it runs the Python beside it)" if template is not None else ""
    if model is not None and is_scripted(model):
        consent = " --allow-code  (where you trust the file: it runs its code)"
    err.print(f"next: mlopt optimize {path}{consent}")


def _drafted(model: Path, data: Path | None, path: Path) -> str:
    from mlopt.passes.table import table
    from mlopt.recipe.load import parse
    from mlopt.recipe.sources import draft_for

    _check_folder(path)
    text = draft_for(model, data)(path)
    parse(text, path, passes=table())
    return text


def _check_folder(path: Path) -> None:
    from mlopt.core.errors import OutputError

    if not path.parent.is_dir():
        raise OutputError("the folder does not exist", where=str(path.parent), fix=f"mkdir -p {path.parent}")


def _write(texts: dict[Path, str]) -> None:
    """Write files, none of which may be there yet."""
    from mlopt.cli.console import err
    from mlopt.core.errors import OutputError

    for path in texts:
        _check_folder(path)
        if path.exists():
            what = "the recipe exists already" if path.suffix == ".yaml" else "the file exists already"
            raise OutputError(what, where=str(path), fix="name another file with -o")
    for path, text in texts.items():
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise OutputError("the recipe cannot be written", where=str(path), got=str(error)) from error
        err.print(f"wrote {path}")


@app.command()
def check(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="Recipes, YAML files.")],
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    *,
    anywhere: Annotated[bool, typer.Option("--anywhere", help=_ANYWHERE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON; of several, a list.")] = False,
) -> None:
    """Find everything that is wrong with recipes on this machine, without running them."""
    from mlopt.cli.console import emit_json, err, out
    from mlopt.core.errors import RecipeError
    from mlopt.passes.table import table
    from mlopt.recipe.load import load
    from mlopt.recipe.lock import resolved
    from mlopt.run import chain

    passes, changed = table(), with_runtime(overrides, runtime, threads)
    loaded: dict[Path, Loaded] = {}
    problems: list[Problem] = []
    for recipe in recipes:
        try:
            loaded[recipe] = load(recipe, passes=passes, overrides=changed)
        except RecipeError as error:
            problems += error.problems
        else:
            problems += _wrong(loaded[recipe], anywhere=anywhere)
    if problems:
        raise RecipeError.of(problems)
    for recipe, each in loaded.items():
        for advice in () if anywhere else chain.advice(each.recipe, passes):
            err.print(f"{recipe}: {advice}")
        if not as_json:
            out.print(f"{recipe}: ok: {' > '.join(step.name for step in each.recipe.passes) or 'no passes'}")
    if as_json:
        found = [resolved(each.recipe) for each in loaded.values()]
        emit_json(found if len(found) > 1 else found[0])


def _wrong(loaded: Loaded, *, anywhere: bool) -> list[Problem]:
    """Return what is wrong on this machine, or on any, with the place in the file."""
    from mlopt.core.hardware import detect
    from mlopt.passes.table import table
    from mlopt.run import chain, declared

    recipe, passes = loaded.recipe, table()
    found = chain.anywhere(recipe, passes) if anywhere else chain.check(recipe, passes, detect())
    more = () if anywhere else declared.foreseen(loaded)
    return [loaded.located(problem) for problem in (*found, *more)]


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from mlopt.cli.console import emit_json
    from mlopt.passes.table import table
    from mlopt.recipe.json_schema import json_schema

    emit_json(json_schema(table()))
