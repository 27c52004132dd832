"""The evidence on disk: ``report.json`` and the raw samples beside it, written and strictly read back.

A report that is read may come from anybody, so reading ends in a ``Report`` or in one ``UserError`` that names the key.
The renderings for people stand in ``html``, ``markdown`` and ``plots``.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mlopt.core.errors import Problem, UserError
from mlopt.core.foreign_text import as_json
from mlopt.formats.filetype import JSON, REPORT, told
from mlopt.results.report import Report

REPORT_FILE = "report.json"
RECIPE_FILE = "recipe.lock.yaml"
SIZE_LIMIT = 64 * 1024 * 1024
"""Of raw samples."""
REPORT_LIMIT = 16 * 1024 * 1024
_SHOWN_PROBLEMS = 10

Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Raw(BaseModel):
    """What one candidate's worker measured: wall times of single inferences, grouped into its turns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Literal["ms"] = "ms"
    blocks: list[list[Milliseconds]]


_RAW_FILE = TypeAdapter(dict[str, _Raw])


def write(report: Report, path: Path) -> None:
    """Write ``report.json``; raises ``OSError``, which whoever writes the whole artifact puts into words."""
    path.write_text(to_json(report), encoding="utf-8")


def to_json(report: Report) -> str:
    """Return ``report.json``'s text, its keys in the schema's order; raises ``ValueError`` on NaN and infinity."""
    return as_json(_plain(report)) + "\n"


def _plain(report: Report) -> dict[str, Any]:
    return report.model_dump(mode="json", by_alias=True)


def read(path: Path) -> Report:
    """Read a ``report.json``, or the one in an artifact directory; raises ``UserError``."""
    file = path / REPORT_FILE if _is_folder(path) else path
    content = _read_bytes(
        file, what="report", fix="mlopt optimize RECIPE writes an artifact with its report", limit=REPORT_LIMIT
    )
    try:
        report = Report.model_validate_json(content, strict=True)
        as_json(_plain(report), indent=None)  # so that whoever reads it can write it
    except ValidationError as error:
        kind = told(file)
        if kind is not None and kind.name not in (REPORT, JSON):
            raise UserError(
                f"this is {kind.name}, where a report belongs", where=str(file),
                expected="a report.json, or an artifact", fix=kind.fix,
            ) from error  # fmt: skip
        raise _malformed(file, "this is not a report of mlopt", error) from error
    except ValueError as error:
        raise UserError("a report holds finite numbers only", where=str(file), got=str(error)) from error
    return report


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long: reading it says so
        return False


def write_samples(samples: Mapping[str, Sequence[Sequence[float]]], path: Path) -> None:
    """Write the raw samples, ``{candidate: blocks of milliseconds}``; raises ``OSError``."""
    document = {
        name: {"unit": "ms", "blocks": [[float(value) for value in block] for block in blocks]}
        for name, blocks in samples.items()
    }
    path.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


def read_samples(path: Path) -> dict[str, list[float]]:
    """Read the raw samples, each candidate's blocks joined, in milliseconds; raises ``UserError``."""
    return {name: [value for block in blocks for value in block] for name, blocks in read_blocks(path).items()}


def read_blocks(path: Path) -> dict[str, list[list[float]]]:
    """Read the raw samples, ``{candidate: blocks of milliseconds}`` in the order measured; raises ``UserError``."""
    content = _read_bytes(path, what="sample file", fix="keep the file that stood beside report.json", limit=SIZE_LIMIT)
    try:
        raw = _RAW_FILE.validate_json(content, strict=True)
    except ValidationError as error:
        raise _malformed(path, "these are not raw samples of mlopt", error) from error
    return {name: one.blocks for name, one in raw.items()}


def read_recipe(folder: Path) -> str:
    """Read the recipe beside a report, to show it; empty if there is none. Raises ``UserError`` if it is unreadable."""
    file = folder / RECIPE_FILE
    if not file.exists():
        return ""
    try:
        return _read_bytes(
            file, what="recipe", fix="keep the file that stood beside report.json", limit=REPORT_LIMIT
        ).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("the recipe is not UTF-8 text", where=str(file)) from error


def _read_bytes(path: Path, *, what: str, fix: str, limit: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"the {what} is not a regular file", where=str(path), fix=fix)
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise UserError(f"there is no {what} here", where=str(path), fix=fix) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise UserError(f"the {what} cannot be read: {error}", where=str(path)) from error
    if len(content) > limit:
        raise UserError(f"the {what} is too large", where=str(path), expected=f"at most {limit >> 20} MiB")
    return content


def _malformed(path: Path, what: str, error: ValidationError) -> UserError:
    """One problem for each wrong key, the first ten of them."""
    found = error.errors(include_url=False, include_context=False)
    problems = [
        Problem(entry["msg"], where=".".join(map(str, entry["loc"])) or str(path), got=_short(entry["input"]))
        for entry in found[:_SHOWN_PROBLEMS]
    ]
    head = Problem(
        what,
        where=str(path),
        got=f"{len(found)} problem(s)",
        expected="schema mlopt.report/v1",
        fix="name a report.json that mlopt optimize or mlopt bench -o wrote",
    )
    return UserError.of([head, *problems])


def _short(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return ascii(value)[:80]
