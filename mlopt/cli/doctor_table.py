"""How ``mlopt doctor`` shows what it found: a table, or groups whose commands can be copied as they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from mlopt.cli.table_format import TableFormat, emit
from mlopt.core.check import Check, CheckGroup, Status, passed

_HEADS = ("check", "status", "found", "fix")
_COLOURS: dict[Status, str] = {"ok": "green", "note": "yellow", "problem": "red"}
_STATUS = 9
"""Columns of a status."""


def show(wanted: TableFormat, checks: Iterable[Check]) -> None:
    """Print checks as a table, in any form but JSON."""
    if wanted is not TableFormat.TEXT:
        emit(wanted, _HEADS, _rows(checks))
        return
    from rich.table import Table
    from rich.text import Text

    from mlopt.cli import console

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        found = Text(check.found)
        if check.fix:
            found.append(f"\n{check.fix}", style="bold")
        table.add_row(check.name, Text(check.status, style=_COLOURS[check.status]), found)
    console.out.print(table)


def show_groups(wanted: TableFormat, groups: Sequence[CheckGroup], artifact: dict[str, Any] | None) -> None:
    """Print groups of checks; ``artifact`` is what they are about, if anything."""
    from mlopt.cli import console

    if wanted is TableFormat.JSON:
        checks = [{"group": group.title, **asdict(check)} for group in groups for check in group.checks]
        console.emit_json({"ok": passed(groups), "artifact": artifact, "checks": checks})
    elif wanted is TableFormat.TEXT:
        _print(groups, artifact)
    else:
        rows = ((group.title, *row) for group in groups for row in _rows(group.checks))
        emit(wanted, ("group", *_HEADS), rows)


def _rows(checks: Iterable[Check]) -> Iterator[tuple[str, ...]]:
    return ((each.name, each.status, each.found, each.fix or "") for each in checks)


def _print(groups: Sequence[CheckGroup], artifact: dict[str, Any] | None) -> None:
    import shlex

    from mlopt.cli import console

    if artifact is not None:
        console.out.print(f"{artifact['name']}, version {artifact['version']}, digest {artifact['digest']}\n")
    width = max((len(check.name) for group in groups for check in group.checks), default=0)
    for group in groups:
        console.out.print(group.title, style="bold")
        for check in group.checks:
            _print_check(check, width)
        console.out.print()
    if artifact is not None and passed(groups):
        console.out.print(f"deploy it  mlopt deploy {shlex.quote(artifact['path'])} --to ENGINE -o DIR")


def _print_check(check: Check, width: int) -> None:
    """Print a check; its command is one line, however long, so that it can be copied."""
    from mlopt.cli import console

    line = f"{check.status:<{_STATUS}}{check.name:<{width}}  {check.found}"
    console.out.say(line, _COLOURS[check.status], len(check.status))
    if check.fix:
        console.out.print(f"{'':<{_STATUS}}{check.fix}", style="bold", soft_wrap=True)
