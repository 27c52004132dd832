"""``mlopt recipe``: make a recipe for a model, check one, or print the schema that editors use."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime

app = typer.Typer(help="Make and check recipes.", no_args_is_help=True)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]


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
    recipe: RecipePath,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find everything that is wrong with a recipe on this machine, without running it."""
    from mlopt.cli.console import emit_json, err, out
    from mlopt.core.errors import RecipeError
    from mlopt.core.hardware import detect
    from mlopt.passes.table import table
    from mlopt.recipe.load import load
    from mlopt.recipe.lock import resolved
    from mlopt.run import chain, declared

    passes = table()
    loaded = load(recipe, passes=passes, overrides=with_runtime(overrides, runtime, threads))
    found = [*chain.check(loaded.recipe, passes, detect()), *declared.foreseen(loaded)]
    problems = [loaded.located(problem) for problem in found]
    if problems:
        raise RecipeError.of(problems)
    for advice in chain.advice(loaded.recipe, passes):
        err.print(f"{recipe}: {advice}")
    if as_json:
        emit_json(resolved(loaded.recipe))
    else:
        out.print(f"{recipe}: ok: {' > '.join(step.name for step in loaded.recipe.passes) or 'no passes'}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from mlopt.cli.console import emit_json
    from mlopt.passes.table import table
    from mlopt.recipe.json_schema import json_schema

    emit_json(json_schema(table()))
