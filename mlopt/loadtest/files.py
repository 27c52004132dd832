"""``loadtest.json`` and its renderings, written beside each other, and the first read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlopt.artifact.files import first_problem
from mlopt.core.errors import OutputError, UserError
from mlopt.core.fetch import read_file
from mlopt.core.foreign_text import as_json
from mlopt.report import renderings
from mlopt.results.serving import SCHEMA, LoadTestRecord

FORMS = ("json", "html", "md")


def check_folder(folder: Path) -> None:
    """Raise ``OutputError``, before any load is put on, where nothing could be written."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise OutputError("this is no folder", where=str(there), fix="choose another with -o DIR")


def write(record: LoadTestRecord, folder: Path) -> None:
    """Write ``loadtest.json``, its page and its Markdown, each whole or not at all; raises ``OutputError``."""
    texts = {f"loadtest.{form}": text(record, form) for form in FORMS}
    renderings.write(folder, texts, what="the report", fix="choose another with -o DIR")


def read(file: Path) -> LoadTestRecord:
    """Read a ``loadtest.json``, which may come from anybody; raises ``UserError``."""
    data = read_file(file, "the load test")
    try:
        return LoadTestRecord.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise UserError(
            "this is no load test of mlopt", where=str(file), got=first_problem(error), expected=f"schema {SCHEMA}",
            fix="name what `mlopt loadtest -o DIR` wrote",
        ) from error  # fmt: skip


def text(record: LoadTestRecord, form: str) -> str:
    """Return the record as one of ``FORMS``."""
    if form == "json":
        return as_json(document(record)) + "\n"
    if form == "html":
        from mlopt.loadtest import page

        return page.render(record)
    from mlopt.loadtest import markdown

    return markdown.render(record)


def document(record: LoadTestRecord) -> dict[str, Any]:
    """Return the record as plain data."""
    return record.model_dump(mode="json", by_alias=True)
