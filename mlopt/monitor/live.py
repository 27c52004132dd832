"""What is live: a document of sketches from a file or a server, of the artifact that is asked about."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mlopt.artifact.verify import Verified
from mlopt.core.errors import DataError, IntegrityError, MloptError, UserError
from mlopt.core.fetch import fetch, is_url, read_file
from mlopt.core.packages import install_command
from mlopt.sketches import MAX_BYTES, SKETCHES, Sketches, merge, read

_WHAT = "the document of sketches"
_MOST = 64
"""Documents in one answer: one for each artifact that a server has served."""


def reference_of(verified: Verified) -> Sketches:
    """Return an artifact's own sketches, as they were signed; raises ``UserError`` where it has none."""
    path = verified.directory / SKETCHES
    if SKETCHES not in verified.files:
        raise UserError(
            "the artifact holds no sketches of its data", where=str(verified.directory),
            got="an older mlopt made it, or datasketches was not installed there",
            fix=f"{install_command('monitor')}, and optimize again; or compare with sketches of a time that was good: "
            "--reference FILE",
        )  # fmt: skip
    try:
        data = read_file(path, _WHAT, MAX_BYTES)
        if hashlib.sha256(data).hexdigest() != verified.files[SKETCHES]:
            raise IntegrityError("the file changed after it was verified", where=str(path))
        return read(data, str(path))
    except DataError as error:
        raise IntegrityError.of(error.problems) from error


def read_given(path: Path) -> Sketches:
    """Read a document of sketches from a file; raises ``UserError``."""
    return read(read_file(path, _WHAT, MAX_BYTES), str(path))


def read_live(source: str, digest: str, name: str, token: str | None = None) -> Sketches:
    """Return the sketches of the artifact of this digest: ``source`` is a file, or a URL of a server.

    A URL without a path is that of the embedded server, which is asked for the model ``name``. A document of several
    artifacts, as that server answers, is looked through for this one. Raises ``UserError``.
    """
    data = fetch(_address(source, name), token=token, limit=_MOST * MAX_BYTES) if is_url(source) else read_file(
        Path(source), _WHAT, _MOST * MAX_BYTES
    )  # fmt: skip
    by_digest = _by_digest(data, source)
    if by_digest is None:
        found = read(data, source)
        if found.digest not in (None, digest):
            raise _other(source, [str(found.digest)], digest)
        return found
    if digest not in by_digest:
        raise _other(source, list(by_digest), digest)
    return read(json.dumps(by_digest[digest]).encode(), source)


def read_all(sources: list[str], digest: str, name: str, token: str | None = None) -> Sketches:
    """Return the sketches of several servers or files as one."""
    found = [read_live(source, digest, name, token) for source in sources]
    return found[0] if len(found) == 1 else merge(found)


def _address(url: str, name: str) -> str:
    if urlsplit(url).path.strip("/"):
        return url
    return f"{url.rstrip('/')}/admin/models/{quote(name, safe='')}/sketches"


def _by_digest(data: bytes, where: str) -> dict[str, Any] | None:
    """Return the documents of an answer by their artifacts' digests; None if it is one document."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError("this is not JSON", where=where, got=str(error)[:100]) from error
    if not isinstance(value, dict) or len(value) > _MOST:
        raise DataError("these are no sketches", where=where, expected="a document of mlopt.sketches/v1")
    return None if "schema" in value else value


def _other(where: str, found: list[str], digest: str) -> MloptError:
    return UserError(
        "the sketches are of another artifact", where=where, got=", ".join(one[:12] for one in found[:5]) or "none",
        expected=digest[:12], fix="name the artifact that is served: `mlopt digest DIR` tells its digest",
    )  # fmt: skip
