"""``--shape INPUT=SIZES``: one syntax for every verb that takes it."""

from __future__ import annotations

import re
from typing import Annotated

import typer

_MACS = "An input's shape for counting MACs, such as image=1,3,224,224; repeatable. Dynamic sizes are 1 if absent."
_RANDOM = "The shape of an input that is made up, such as image=1,3,224,224; repeatable. --batch says how many."

ForMacs = Annotated[list[str] | None, typer.Option("--shape", metavar="INPUT=SIZES", help=_MACS)]
ForRandom = Annotated[list[str] | None, typer.Option("--shape", metavar="INPUT=SIZES", help=_RANDOM)]


def shapes_in(texts: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Read ``image=1,3,224,224``, for each input once; an input's name may itself hold a '='."""
    return dict(map(_parsed, texts or ()))


def for_random(texts: list[str] | None, data: object) -> dict[str, tuple[int, ...]]:
    """Read shapes of inputs that are made up; raises where there are samples, which have shapes of their own."""
    if texts and data is not None:
        raise typer.BadParameter("samples have their shapes: give --data or --shape", param_hint="--shape")
    return shapes_in(texts)


def _parsed(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = [part.strip() for part in sizes.split(",")] if sizes.strip() else []
    if not name or any(re.fullmatch(r"[1-9][0-9]{0,8}", part) is None for part in parts):
        raise typer.BadParameter(f"'{text}' is no shape; write image=1,3,224,224", param_hint="--shape")
    return name, tuple(map(int, parts))
