"""The ledger's lines, without a file: what each says, and that each follows the one before.

A line is a sigstore bundle, as in ``claims.jsonl``, over an in-toto statement about the digest that it is about. It
holds the SHA-256 of the line before it, signature and all, so that none can be changed, taken out or put in between.
What a chain cannot show is that its last lines were cut off whole: who keeps the head (``mlopt rollout log`` prints
it) elsewhere can.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlopt.artifact.files import first_problem, parse_json, shown
from mlopt.artifact.layout import Hex256, Line
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.signing.bundle import STATEMENT_TYPE
from mlopt.core.errors import IntegrityError

PREDICATE_TYPE = "https://mlopt.dev/rollout/v1"
NOTHING_BEFORE = "0" * 64
"""What the first line has in place of the digest of one before it."""

RolloutStep = Literal["start", "promote", "hold", "rollback", "analyze", "tag"]
Phase = Literal["begun", "done", "failed"]
Percent = Annotated[int, Field(ge=0, le=100)]

_FIX = "compare it with a copy; go on in a new ledger only when you know what happened"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServedShare(_Said):
    """One version's part of the traffic."""

    weight: Percent
    shadow: Percent = 0
    version: int | None = None


class RolloutRecord(_Said):
    """What one line says."""

    number: int = Field(ge=0)
    previous: Hex256
    """The SHA-256 of the line before, without its newline."""
    time: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    target: Line
    """What was changed, such as ``embedded http://127.0.0.1:8000``."""
    model: Line
    run: str = Field(pattern=r"^[0-9a-f]{16}$")
    """The same in all lines of one step."""
    step: RolloutStep
    phase: Phase
    digest: Hex256
    """The artifact that the step is about."""
    before: dict[Hex256, ServedShare]
    """What served when the step began."""
    after: dict[Hex256, ServedShare]
    """What is wanted (begun), or was found (done, failed)."""
    why: str = Field(max_length=2000)
    artifact: str | None = None
    """The directory that the target loads it from."""
    detail: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(frozen=True)
class ChainLink:
    """A line that holds, and who signed it."""

    record: RolloutRecord
    signer: str
    digest: str
    """The SHA-256 of the line: what the next one names."""


def statement(record: RolloutRecord) -> bytes:
    """Return the in-toto statement to sign."""
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": record.model, "digest": {"sha256": record.digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": record.model_dump(mode="json"),
    }
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def digest_of(line: bytes) -> str:
    """Return the SHA-256 of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def follow(lines: Iterable[bytes], trust: Trust, where: str) -> Iterator[ChainLink]:
    """Yield each line's record if it is signed by whom is trusted and follows the one before.

    Raises ``IntegrityError`` at the first that is or does not.
    """
    previous = NOTHING_BEFORE
    for number, line in enumerate(lines):
        link = _link(line, trust, f"{where}:{number + 1}")
        _check_place(link.record, number, previous, f"{where}:{number + 1}")
        previous = link.digest
        yield link


def _link(line: bytes, trust: Trust, where: str) -> ChainLink:
    opened = trust.open(line, where)
    value = parse_json(opened.statement, where)
    if value.get("_type") != STATEMENT_TYPE or value.get("predicateType") != PREDICATE_TYPE:
        raise IntegrityError(
            "the line is signed, but states something else", where=where, got=shown(value.get("predicateType")),
            expected=PREDICATE_TYPE, fix=_FIX,
        )  # fmt: skip
    try:
        record = RolloutRecord.model_validate(value.get("predicate"))
    except ValidationError as error:
        raise IntegrityError("the line is malformed", where=where, got=first_problem(error), fix=_FIX) from error
    if value.get("subject") != [{"name": record.model, "digest": {"sha256": record.digest}}]:
        raise IntegrityError("the line's subject is not what it is about", where=where, fix=_FIX)
    return ChainLink(record, opened.signer, digest_of(line))


def _check_place(record: RolloutRecord, number: int, previous: str, where: str) -> None:
    if record.number != number:
        raise IntegrityError(
            "lines of the ledger are missing, or in another order", where=where, got=f"line number {record.number}",
            expected=f"line number {number}", fix=_FIX,
        )  # fmt: skip
    if record.previous != previous:
        raise IntegrityError(
            "the line does not follow the one before it: that one was changed", where=where,
            got=f"sha256 {previous}", expected=f"sha256 {record.previous}", fix=_FIX,
        )  # fmt: skip
