"""``mlopt runtimes``: which libraries run models here, and what brings those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlopt.cli.table_format import Format, Json, TableFormat, chosen, emit

if TYPE_CHECKING:
    from mlopt.core.hardware import Hardware
    from mlopt.runtimes.base import Runtime


_HEADS = ("runtime", "installed", "devices here", "reads")


def runtimes(format_: Format = TableFormat.TEXT, as_json: Json = False) -> None:
    """List runtimes, what they read, and what brings the others."""
    from mlopt.cli import console
    from mlopt.core.hardware import detect
    from mlopt.runtimes.table import table

    hardware = detect()
    described = [describe(runtime, hardware) for runtime in table().values()]
    wanted = chosen(format_, as_json)
    if wanted is TableFormat.JSON:
        console.emit_json(described)
    elif wanted is TableFormat.TEXT:
        _show(described)
    else:
        emit(wanted, (*_HEADS, "what brings it"), [(*_row(one), one["install"]) for one in described])


def describe(runtime: Runtime[Any], hardware: Hardware) -> dict[str, Any]:
    """Return what a runtime declares and what of it there is here, as JSON has it; its library is not imported."""
    from mlopt.core.packages import version
    from mlopt.core.target import AUTO, Target
    from mlopt.runtimes.absent import absent

    others = absent(Target(runtime=AUTO), hardware) if runtime.missing else []
    usable = {"cpu"} | ({"cuda"} if hardware.gpu is not None else set())
    return {
        "name": runtime.name,
        "installed": not runtime.missing,
        "packages": {name: version(name) for name in runtime.packages},
        "devices": sorted(runtime.devices & usable) if not runtime.missing else [],
        "reads": sorted(runtime.kinds),
        "install": runtime.install,
        "hint": next((str(each) for each in others if each.runtime == runtime.name), None),
    }


def _show(described: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    from mlopt.cli import console

    table = Table(*_HEADS, box=box.SIMPLE_HEAD)
    for one in described:
        table.add_row(*_row(one))
    console.out.print(table)
    for one in (each for each in described if not each["installed"]):
        console.out.print(one["hint"] or f"{one['name']} is not installed: {one['install']}")
    console.out.print(
        "A recipe tries all that are installed, unless `target.runtime` or `--runtime NAME[,NAME]` names some."
    )


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    versions = ", ".join(found for found in one["packages"].values() if found)
    there = (versions or "yes") if one["installed"] else "no"
    return one["name"], there, ", ".join(one["devices"]) or "-", ", ".join(one["reads"])
