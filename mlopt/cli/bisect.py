"""``mlopt bisect``: which pass, and which of its nodes, broke a recipe's limit; and the exclusion that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli.bisect_page import step, value
from mlopt.cli.runtime_option import ForTarget, Overrides, Threads, with_runtime
from mlopt.cli.table_format import Format, Json, TableFormat, chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType
    from rich.text import Text

    from mlopt.bisect.finding import Chosen, Finding
    from mlopt.bisect.limits import LimitFigure

_TEXTS = 3  # of them; figures follow
_OUTPUT = "Write the recipe with the exclusion; the recipe itself is never overwritten."
_PICKLE = "Read weights out of a pickle, as in optimize."


def bisect(
    *,
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help=_OUTPUT)] = None,
    overrides: Overrides = None,
    runtime: ForTarget = "",
    threads: Threads = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Reuse what did not change.")] = True,
    allow_code: Annotated[bool, typer.Option(help="Run the Python that the recipe names.")] = False,
    allow_pickle: Annotated[bool, typer.Option(help=_PICKLE)] = False,
    format_: Format = TableFormat.TEXT,
    json: Json = False,
) -> None:
    """Find the pass and the nodes that broke a limit.

    The limit is one on accuracy or fidelity; what is found is told as the exclusion that mends it.
    """
    from mlopt.bisect.find import bisect as search
    from mlopt.cli import bisect_page
    from mlopt.cli.console import emit_document, emit_json, err, out
    from mlopt.cli.files import write_text
    from mlopt.cli.progress import Progress
    from mlopt.core.errors import ExitCode
    from mlopt.run.request import Request

    wanted = chosen(format_, json)
    _check(recipe, output)
    request = Request(
        recipe, overrides=with_runtime(overrides, runtime, threads), sign=False, use_cache=cache,
        allow_code=allow_code, allow_pickle=allow_pickle,
    )  # fmt: skip
    with Progress(err) as progress:
        found = search(request, progress.update)
    _show(found, out if wanted is TableFormat.TEXT else err)
    if output is not None and found.chosen is None:
        err.print("nothing was written")
    elif output is not None and found.chosen is not None:
        write_text(output, found.chosen.edited.text)
        err.print(f"wrote {output}{'' if found.chosen.edited.whole else ' (anew: its comments are lost)'}")
        if found.met:
            err.print(f"next: mlopt optimize {output}{' --allow-code' if allow_code else ''}")
    if wanted is TableFormat.JSON:
        emit_json(_plain(found))
    elif wanted is not TableFormat.TEXT:
        emit_document((bisect_page.markdown if wanted is TableFormat.MD else bisect_page.csv)(found))
    raise typer.Exit(ExitCode.OK if found.met else ExitCode.GATE_FAILED)


def _check(recipe: Path, output: Path | None) -> None:
    """Refuse before the long work what could not be written after it."""
    from mlopt.cli.files import check_beside
    from mlopt.core.errors import RecipeError

    if recipe.suffix not in (".yaml", ".yml"):
        raise RecipeError(
            "only a recipe can be bisected", where=str(recipe), expected="a .yaml file",
            fix="write one: mlopt recipe init MODEL --data FILE",
        )  # fmt: skip
    if output is not None:
        check_beside(recipe, output, "-o")


def _show(found: Finding, screen: Console) -> None:
    from rich.table import Table

    limits = found.chain[0].figures
    table = Table(box=None, pad_edge=False, title_justify="left", title=f"on {found.samples} evaluation samples")
    for name in ("step", "status", *(f"{each.metric} {each.limit}" for each in limits)):
        table.add_column(name, overflow="fold")
    for number, row in enumerate(found.chain):
        cells: list[RenderableType] = [*map(_cell, row.figures)] or ["" for _ in limits]
        table.add_row(step(number, row), row.status, *cells)
    screen.print(table)
    for number, row in enumerate(found.chain):
        if row.reason:
            screen.print(f"{number} {row.step} was {row.status}: {row.reason}")
    screen.print()
    for line in _told(found):
        screen.print(line)
    if found.chosen is not None:
        _show_chosen(found, found.chosen, screen)
    for note in found.notes:
        screen.print(f"note: {note}")


def _told(found: Finding) -> list[str]:
    if found.broken_by is None:
        return ["nothing to bisect: every limit holds after every step"]
    row = found.chain[found.broken_by]
    head = "the source model" if found.broken_by == 0 else f"step {found.broken_by}, '{row.step}',"
    lines = [f"{head} breaks {_figures([each for each in row.figures if not each.holds])}"]
    return [*lines, *([found.advice] if found.advice else [])]


def _show_chosen(found: Finding, chosen: Chosen, screen: Console) -> None:
    from mlopt.cli import bisect_page
    from mlopt.cli.console import columns

    rows = bisect_page.blamed(chosen)
    for line in columns([bisect_page.BLAMED, *rows], _TEXTS):
        screen.print(line)
    screen.print()
    word = "holds" if found.met else "is still broken"
    lines = [
        f"chosen on {chosen.samples} {chosen.by} samples, in {found.trials} runs of the pass:",
        f"  before       {_figures(chosen.before)}",
        f"  without them {_figures(chosen.after)}",
        f"on the {found.samples} evaluation samples, at the end of the chain, the limit {word}:",
        f"  {_figures(chosen.result)}",
        "put this into the recipe:" if found.met else "the exclusion, which is not enough by itself:",
    ]
    for line in [*lines, *chosen.edited.step.splitlines()]:
        screen.print(line)


def _cell(figure: LimitFigure) -> Text:
    from rich.text import Text

    return Text(value(figure)) if figure.holds else Text(f"{value(figure)} broken", style="red")


def _figures(figures: Sequence[LimitFigure]) -> str:
    return ", ".join(f"{each.metric} {value(each)} ({each.limit})" for each in figures)


def _plain(found: Finding) -> dict[str, Any]:
    from dataclasses import asdict

    return {"met": found.met, **asdict(found)}
