"""``mlopt history``: the runs of a recipe, those whose artifact was replaced among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlopt.run.history import History, RunRecord

_WHAT = "A recipe's name or file, or an artifact's directory."
_HEADS = ("date (UTC)", "verdict", "runtime", "model", "signed", "version", "speedup", "drop", "size")
_TEXTS = 5


def history(
    what: Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help=_WHAT)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """List the runs of a recipe or an artifact.

    The newest comes first; those whose artifact was replaced are among them.
    """
    from mlopt.cli import console

    found = _found(what)
    if found.damaged:
        console.err.print(f"{found.damaged} damaged line{'s' if found.damaged > 1 else ''} of the records passed over")
    if as_json:
        runs = [one.model_dump(mode="json") for one in found.records]
        console.emit_json({"runs": runs, "damaged": found.damaged})
        return
    lines = [*console.columns([_HEADS, *map(_cells, found.records)], _TEXTS)]
    console.out.print(lines[0])
    machine = ""
    for one, line in zip(found.records, lines[1:], strict=True):
        if machine != (machine := _machine(one)):
            console.out.print(f"on {machine}:", style="dim")
        console.out.print(line)


def _found(what: str) -> History:
    """Return what is on record; raises ``UserError`` if that is nothing, or if the cache is not to be believed."""
    from mlopt.core.cache import default_root, why_unusable
    from mlopt.core.errors import UserError
    from mlopt.recipe.document import closest
    from mlopt.run import history

    root = default_root()
    if (reason := why_unusable(root)) is not None:
        raise UserError(reason, where=str(root))
    try:
        place = _artifact(what)
        found = history.of_name(root, _name(what)) if place is None else history.of_artifact(root, place)
        known = history.names(root)
    except OSError as error:
        raise UserError(f"the records cannot be read: {error.strerror}", where=str(error.filename or root)) from error
    found = found if place is None else _with_present(found, place)
    if not found.records:
        near = closest(what, known) or (f"on record: {', '.join(known[:10])}" if known else None)
        raise UserError("no run of it is on record", where=what, fix=near or "mlopt optimize RECIPE makes one")
    return found


def _artifact(what: str) -> Path | None:
    """Return the directory that is meant: one with an artifact, or one that is told by a path and may be gone."""
    from mlopt.artifact.layout import MANIFEST

    path = Path(what)
    if (path / MANIFEST).exists() or path.is_dir() or ("/" in what and not path.is_file()):
        return path
    return None


def _name(what: str) -> str:
    """Return a recipe's name, given that or its file."""
    path = Path(what)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return what
    from mlopt.recipe.yaml_reader import read_file

    data = read_file(path).data
    return str(data.get("name", "")) if isinstance(data, dict) else ""


def _with_present(found: History, place: Path) -> History:
    """Add the artifact that is there, if it is not on record: another machine may have made it."""
    from dataclasses import replace

    from mlopt import report as reports
    from mlopt.artifact.layout import MANIFEST, SIGNATURE, read_manifest
    from mlopt.run.history import record

    if not (place / MANIFEST).exists():
        return found
    evidence, version = reports.read(place), read_manifest(place).version
    if any((one.date, one.version) == (evidence.created, version) for one in found.records):
        return found
    present = record(evidence, place, version, signed=(place / SIGNATURE).exists())
    every = sorted((present, *found.records), key=lambda one: one.date, reverse=True)
    return replace(found, records=tuple(every))


def _machine(one: RunRecord) -> str:
    return one.cpu + (f", {one.gpu}" if one.gpu else "")


def _cells(one: RunRecord) -> tuple[str, ...]:
    from mlopt.core.foreign_text import plain
    from mlopt.report import facts

    drop = "" if one.drop_pt is None else facts.points(one.drop_pt + 0.0)
    return (
        plain(one.date[:16].replace("T", " ")), one.verdict, plain(one.runtime),
        plain(one.digest.removeprefix("sha256:"))[:12], "yes" if one.signed else "no", str(one.version),
        facts.ratio(one.speedup), drop, facts.size(one.size_bytes),
    )  # fmt: skip
