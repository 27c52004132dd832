"""``--runtime NAME[,NAME]``: one syntax, and one answer to a misspelt name, for every verb that takes it."""

from __future__ import annotations

from typing import Annotated

import typer

from mlopt.cli.completion import keys, runtimes

_NAMES = "NAME[,NAME]"
_THREADS = "As target.threads of the recipe."
_SET = "Override a key of the recipe, such as passes.quantize.scheme=u8s8; repeatable."
_TARGET = "As target.runtime: a runtime, several of which the fastest is shipped, or auto, all that are installed."
_COMPARED = "Also compare the outputs in this runtime; of two, A in the first and B in the second."
_LOADED = "What a runtime, or several such as onnxruntime,openvino, makes of it: layers, precisions, what it fuses not."
_ON = "Threads in the runtime in which outputs are also compared.  [default: the cores, or as shipped]"
_MEASURED = "A runtime, or several such as onnxruntime,openvino: every model is measured in each."

Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_SET, autocompletion=keys)]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help=_THREADS)]
ForTarget = Annotated[str, typer.Option("--runtime", metavar=_NAMES, help=_TARGET, autocompletion=runtimes)]
ForOutputs = Annotated[str, typer.Option("--runtime", metavar=_NAMES, help=_COMPARED, autocompletion=runtimes)]
ForLayers = Annotated[str, typer.Option("--runtime", metavar=_NAMES, help=_LOADED, autocompletion=runtimes)]
OutputThreads = Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help=_ON)]
ForBench = Annotated[str, typer.Option("--runtime", metavar=_NAMES, help=_MEASURED, autocompletion=runtimes)]


def names_in(text: str, *more: str) -> tuple[str, ...]:
    """Read ``onnxruntime,openvino``: names of runtimes, or one of ``more``, each once; none if it is empty.

    Raises ``UserError`` for a name that nobody here knows.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else ()
    if "" in names:
        raise typer.BadParameter("a name is missing; write a, or a,b", param_hint="--runtime")
    if names:
        _check(names, more)
    return names


def with_runtime(overrides: list[str] | None, text: str, threads: int | None = None) -> tuple[str, ...]:
    """Return the overrides of a recipe, and those for ``--runtime`` (or the settings) and ``--threads``."""
    from mlopt.cli.settings import load
    from mlopt.core.target import AUTO

    default = "" if text else load().runtime or ""
    names = names_in(text or default, AUTO)
    if AUTO in names and len(names) > 1:
        raise typer.BadParameter(f"{AUTO} is all of them: name it alone", param_hint="--runtime")
    value = names[0] if len(names) == 1 else f"[{','.join(names)}]"
    of_runtime = [f"target.runtime{'?' if default else ''}={value}"] if names else []
    return (*(overrides or ()), *of_runtime, *([f"target.threads={threads}"] if threads else []))


def _check(names: tuple[str, ...], more: tuple[str, ...]) -> None:
    from mlopt.core.errors import Problem, UserError
    from mlopt.recipe.document import closest
    from mlopt.runtimes.table import table

    known = (*table(), *more)
    fix = "`mlopt runtimes` lists them"
    problems = [
        Problem("there is no such runtime here", f"--runtime {name}", expected=", ".join(known),
                fix=closest(name, known) or fix) for name in names if name not in known
    ]  # fmt: skip
    if problems:
        raise UserError.of(problems)
