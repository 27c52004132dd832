"""``study.json`` written and strictly read back, and its renderings beside it.

A study that is read may come from anybody, so reading ends in a ``StudyRecord`` or in one ``UserError``.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlopt.core.errors import Problem, UserError
from mlopt.core.foreign_text import as_json
from mlopt.formats.filetype import JSON, STUDY, told
from mlopt.report import renderings
from mlopt.results.study import SCHEMA, StudyRecord

STUDY_FILE = "study.json"
PAGE_FILE = "study.html"
LIMIT = 16 * 1024 * 1024
_SHOWN_PROBLEMS = 10
_FIX = "mlopt tune RECIPE writes a study"


def write(record: StudyRecord, folder: Path, recipe: str) -> None:
    """Write ``study.json``, ``study.html`` and ``study.md``, each whole or not at all; raises ``OutputError``.

    ``recipe`` is the text of the recipe of the best chain, which goes into the record; empty if there is none.
    """
    record = record.model_copy(update={"recipe": recipe})
    texts = {f"study.{form}": text(record, form) for form in ("json", "html", "md")}
    renderings.write(folder, texts, what="the study", fix="choose another folder")


def text(record: StudyRecord, form: str) -> str:
    """Return the study as ``html``, ``md`` or ``json``; raises ``UserError`` for another form."""
    if form == "html":
        from mlopt.report.study import page

        return page.render(record)
    if form == "md":
        from mlopt.report.study import markdown

        return markdown.render(record)
    if form == "json":
        return to_json(record)
    raise UserError(f"a study is not written as {form}", expected="html, md or json", fix="give one of these")


def to_json(record: StudyRecord) -> str:
    """Return ``study.json``'s text, its keys in the schema's order; raises ``ValueError`` on NaN and infinity."""
    return as_json(_plain(record)) + "\n"


def _plain(record: StudyRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", by_alias=True)


def is_study(path: Path) -> bool:
    """Whether a path names a study: the file, or a folder that holds one and no report."""
    try:
        if path.is_dir():
            return (path / STUDY_FILE).exists() and not (path / "report.json").exists()
    except OSError:  # a name that is too long: reading it says so
        return False
    kind = told(path)
    return path.name == STUDY_FILE or (kind is not None and kind.name == STUDY)


def read(path: Path) -> StudyRecord:
    """Read a ``study.json``, or the one in a folder; raises ``UserError``."""
    file = path / STUDY_FILE if path.is_dir() else path
    content = _read_bytes(file)
    try:
        record = StudyRecord.model_validate_json(content, strict=True)
        as_json(_plain(record), indent=None)  # so that whoever reads it can write it
    except ValidationError as error:
        raise _malformed(file, error) from error
    except (ValueError, RecursionError) as error:
        raise UserError("a study holds finite numbers only", where=str(file), got=str(error), fix=_FIX) from error
    return record


def _read_bytes(file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError("the study is not a regular file", where=str(file), fix=_FIX)
        with file.open("rb") as stream:
            content = stream.read(LIMIT + 1)
    except FileNotFoundError as error:
        raise UserError("there is no study here", where=str(file), fix=_FIX) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise UserError(f"the study cannot be read: {error}", where=str(file)) from error
    if len(content) > LIMIT:
        raise UserError("the study is too large", where=str(file), expected=f"at most {LIMIT >> 20} MiB")
    return content


def _malformed(file: Path, error: ValidationError) -> UserError:
    """One problem for each wrong key, the first ten of them; or what the file is instead."""
    kind = told(file)
    if kind is not None and kind.name not in (STUDY, JSON):
        return UserError(
            f"this is {kind.name}, where a study belongs", where=str(file), expected="a study.json", fix=kind.fix
        )
    found = error.errors(include_url=False, include_context=False)
    problems = [
        Problem(entry["msg"], where=".".join(map(str, entry["loc"])) or str(file), got=_short(entry["input"]))
        for entry in found[:_SHOWN_PROBLEMS]
    ]
    head = Problem(
        "this is not a study of mlopt", where=str(file), got=f"{len(found)} problem(s)", expected=f"schema {SCHEMA}",
        fix=_FIX,
    )  # fmt: skip
    return UserError.of([head, *problems])


def _short(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return ascii(value)[:80]
