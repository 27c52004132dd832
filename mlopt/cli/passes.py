"""``mlopt passes``: which passes there are, and what can be configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import completion
from mlopt.cli.table_format import Format, Json, TableFormat, chosen, emit

if TYPE_CHECKING:
    from mlopt.passes.base import Pass


_NAME = "One pass, with its configuration."
_HEADS = ("pass", "from", "to", "results", "extra", "what it does")
_KEYS = ("key", "type", "default", "meaning")


def passes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help=_NAME, autocompletion=completion.passes)] = None,
    format_: Format = TableFormat.TEXT,
    as_json: Json = False,
) -> None:
    """List passes, or show one with all that it can be told."""
    from mlopt.cli import console
    from mlopt.passes.table import table

    known = table()
    if name is None:
        described = [describe(pass_) for pass_ in known.values()]
    elif name in known:
        described = [describe(known[name])]
    else:
        raise _unknown(name, list(known))
    wanted = chosen(format_, as_json)
    if wanted is TableFormat.JSON:
        console.emit_json(described if name is None else described[0])
    elif wanted is not TableFormat.TEXT:
        heads, rows = (_HEADS, map(_row, described)) if name is None else (_KEYS, _keys(described[0]))
        emit(wanted, heads, rows)
    elif name is None:
        _show_all(described)
    else:
        _show_one(described[0])


def describe(pass_: Pass[Any]) -> dict[str, Any]:
    """Return what a pass declares, as JSON has it; ``config`` maps each key to its type, default and description."""
    schema = pass_.config.model_json_schema()
    named = schema.get("$defs", {})
    return {
        "name": pass_.name,
        "version": pass_.version,
        "summary": pass_.summary,
        "accepts": sorted(pass_.accepts),
        "produces": pass_.produces,
        "lossy": pass_.lossy,
        "extra": pass_.requires.extra,
        "packages": list(pass_.requires.packages),
        "needs_gpu": pass_.requires.gpu,
        "needs_calibration": pass_.requires.calibration,
        "needs_training": pass_.requires.training,
        "device_bound": pass_.requires.device_bound,
        "config": {
            key: {"type": _type(one, named), "default": one.get("default"), "description": one.get("description", "")}
            for key, one in schema.get("properties", {}).items()
        },
    }


def _type(schema: dict[str, Any], named: dict[str, Any]) -> str:
    """Say in words what JSON Schema says of one key; ``named`` holds what ``$ref`` refers to."""
    if "$ref" in schema:
        return _type(named[schema["$ref"].rpartition("/")[2]], named)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(option, named) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), named)}"
    limits = [f"{sign} {schema[key]}" for key, sign in (("minimum", ">="), ("maximum", "<=")) if key in schema]
    return " ".join([str(schema.get("const", schema.get("type", "any"))), *limits])


def _show_all(described: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Column, Table

    from mlopt.cli import console

    name = Column("pass", min_width=max(len(one["name"]) for one in described))
    table = Table(name, *_HEADS[1:], box=box.SIMPLE_HEAD)
    for one in described:
        table.add_row(*_row(one))
    console.out.print(table)
    console.out.print("`mlopt passes NAME` shows what a pass can be told.")


def _show_one(one: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Column, Table

    from mlopt.cli import console
    from mlopt.core.packages import install_command

    console.out.say(f"{one['name']} {one['version']}: {one['summary']}", "bold", len(one["name"]))
    wanted = {"needs_gpu": "a GPU", "needs_calibration": "calibration data", "needs_training": "training data"}
    needs = [what for key, what in wanted.items() if one[key]]
    needs += [install_command(one["extra"])] if one["extra"] else []
    facts = (
        f"{', '.join(one['accepts'])} -> {one['produces']}; {_results(one)}",
        f"needs: {', '.join(needs) or 'nothing more'}",
    )
    for fact in facts:
        console.out.print(fact)
    if not one["config"]:
        console.out.print("There is nothing to configure.")
        return
    others = (Column(name, overflow="fold") for name in _KEYS[1:])
    table = Table(Column(_KEYS[0], min_width=max(map(len, one["config"]))), *others, box=box.SIMPLE_HEAD)
    for row in _keys(one):
        table.add_row(*row)
    console.out.print(table)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return one["name"], ", ".join(one["accepts"]), one["produces"], _results(one), one["extra"] or "-", one["summary"]


def _keys(one: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(key, entry["type"], _yaml(entry["default"]), entry["description"]) for key, entry in one["config"].items()]


def _results(one: dict[str, Any]) -> str:
    return "may change" if one["lossy"] else "stay the same"


def _yaml(value: Any) -> str:
    import json

    return json.dumps(value)


def _unknown(name: str, known: list[str]) -> Exception:
    import difflib

    from mlopt.core.errors import UserError

    close = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean '{close[0]}'?" if close else "`mlopt passes` lists them"
    return UserError(f"there is no pass '{name}'", got=name, expected=", ".join(known), fix=fix)
