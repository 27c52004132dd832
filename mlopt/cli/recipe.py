"""``mlopt recipe``: make a recipe for a model, check one, or print the schema that editors use."""

from pathlib import Path
from typing import Annotated

import typer

from mlopt.cli.runtime_option import ForTarget, with_runtime

app = typer.Typer(help="Make and check recipes.", no_args_is_help=True)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: passes.quantize.scheme=u8s8")
]


@app.command()
def init(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .onnx file, or a Hugging Face folder.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .npz by input, a folder of images, or a .jsonl file."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write it; <model>.yaml if absent.")
    ] = None,
) -> None:
    """Write the recipe that `mlopt optimize MODEL` would use, to be edited."""
    from mlopt.cli.console import err
    from mlopt.core.errors import OutputError
    from mlopt.passes.table import table
    from mlopt.recipe.load import parse
    from mlopt.recipe.sources import draft_for

    path = output or Path(f"{model.absolute().name if model.is_dir() else model.stem}.yaml")
    if not path.parent.is_dir():
        raise OutputError("the folder does not exist", where=str(path.parent), fix=f"mkdir -p {path.parent}")
    text = draft_for(model, data)(path)
    parse(text, path, passes=table())
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise OutputError("the recipe exists already", where=str(path), fix="name another file with -o") from error
    except OSError as error:
        raise OutputError("the recipe cannot be written", where=str(path), got=str(error)) from error
    err.print(f"wrote {path}")
    err.print(f"next: mlopt optimize {path}")


@app.command()
def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    runtime: ForTarget = "",
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
    loaded = load(recipe, passes=passes, overrides=with_runtime(overrides, runtime))
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
