"""The ledger's lines: all that is written comes back, and nothing that was changed does."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from mlopt.artifact.signing.base import UnknownSignerError
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.core.errors import IntegrityError
from mlopt.rollout.chain import NOTHING_BEFORE, PREDICATE_TYPE, RolloutRecord, digest_of, follow, statement

SIGNER = KeySigner(ec.generate_private_key(ec.SECP256R1()))
TRUST = KeyTrust(SIGNER.private.public_key())
DIGESTS = some.sampled_from(["a" * 64, "b" * 64])
SHARES = some.dictionaries(
    DIGESTS, some.fixed_dictionaries({"weight": some.integers(0, 100), "shadow": some.integers(0, 100)}), max_size=2
)
SAID = some.fixed_dictionaries(
    {
        "time": some.just("2026-11-30T10:00:00Z"), "target": some.just("embedded http://127.0.0.1:1"),
        "model": some.text("abc\u00e4", min_size=1, max_size=5), "run": some.just("0" * 16),
        "step": some.sampled_from(["start", "promote", "rollback", "analyze"]),
        "phase": some.sampled_from(["begun", "done", "failed"]), "digest": DIGESTS, "before": SHARES, "after": SHARES,
        "why": some.text(max_size=20),
        "detail": some.dictionaries(some.text(max_size=3), some.integers() | some.text(max_size=5), max_size=2),
    }
)  # fmt: skip


def lines_of(said: Sequence[dict[str, Any]]) -> list[bytes]:
    lines: list[bytes] = []
    for number, each in enumerate(said):
        previous = digest_of(lines[-1]) if lines else NOTHING_BEFORE
        record = RolloutRecord(number=number, previous=previous, **each)
        lines.append(SIGNER.sign(statement(record)).removesuffix(b"\n"))
    return lines


def read(lines: Sequence[bytes]) -> tuple[RolloutRecord, ...]:
    return tuple(each.record for each in follow(lines, TRUST, "ledger"))


@settings(max_examples=30, deadline=None)
@given(some.lists(SAID, max_size=4))
def test_what_is_written_comes_back(said: list[dict[str, Any]]) -> None:
    lines = lines_of(said)
    links = tuple(follow(lines, TRUST, "ledger"))
    assert [each.record.model_dump(include=set(SAID.wrapped_strategy.mapping)) for each in links] == [
        RolloutRecord(number=0, previous=NOTHING_BEFORE, **each).model_dump(include=set(each)) for each in said
    ]
    assert [each.digest for each in links] == [digest_of(line) for line in lines]
    assert all(each.signer == SIGNER.name for each in links)


@settings(max_examples=40, deadline=None)
@given(some.lists(SAID, min_size=2, max_size=4), some.data())
def test_no_line_can_be_taken_out_moved_or_put_in(said: list[dict[str, Any]], data: some.DataObject) -> None:
    """But the last: that they end somewhere is no fault of a chain."""
    lines = lines_of(said)
    at = data.draw(some.integers(0, len(lines) - 2))
    other = data.draw(some.integers(0, len(lines) - 1).filter(lambda one: one != at))
    swapped = list(lines)
    swapped[at], swapped[other] = swapped[other], swapped[at]
    for changed in (lines[:at] + lines[at + 1 :], swapped, [*lines[: at + 1], *lines[at:]]):
        with pytest.raises(IntegrityError):
            read(changed)


@settings(max_examples=60, deadline=None)
@given(some.integers(0, 1), some.integers(0, 10_000), some.integers(1, 255))
def test_no_byte_of_a_line_can_be_changed(at: int, position: int, flipped: int) -> None:
    """What is drawn does not hang on the lines: a signature is one or two bytes longer or shorter each time."""
    lines = lines_of([said() for _ in range(3)])
    where = position % len(lines[at])
    byte = lines[at][where] ^ flipped
    assume(byte != ord("\n"))
    lines[at] = lines[at][:where] + bytes([byte]) + lines[at][where + 1 :]
    with pytest.raises(IntegrityError):
        read(lines)


def said(**changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-11-30T10:00:00Z", "target": "embedded http://127.0.0.1:1", "model": "digits", "run": "0" * 16,
        "step": "start", "phase": "done", "digest": "a" * 64, "before": {}, "after": {}, "why": "", **changes,
    }  # fmt: skip


def test_another_signature_of_the_same_is_a_change() -> None:
    """ECDSA has two signatures for each: whoever has none of the keys can make the other one of the two."""
    lines = lines_of([said(), said()])
    value = json.loads(lines[0])
    (only,) = value["dsseEnvelope"]["signatures"]
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    r, s = decode_dss_signature(base64.b64decode(only["sig"]))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    only["sig"] = base64.b64encode(encode_dss_signature(r, order - s)).decode()
    changed = [json.dumps(value).encode(), lines[1]]
    assert len(read(changed[:1])) == 1, "it is a valid one, too"
    with pytest.raises(IntegrityError, match="does not follow"):
        read(changed)


def test_a_line_by_somebody_else_is_refused() -> None:
    other = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    record = RolloutRecord(number=0, previous=NOTHING_BEFORE, **said())
    with pytest.raises(UnknownSignerError):
        read([other.sign(statement(record)).removesuffix(b"\n")])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda value: value.update(predicateType="https://example.org/else"), "states something else"),
        (lambda value: value["predicate"].update(step="explode"), "malformed"),
        (lambda value: value["predicate"].update(extra=1), "malformed"),
        (lambda value: value["subject"][0]["digest"].update(sha256="c" * 64), "subject"),
    ],
)
def test_what_is_signed_must_be_a_line_of_a_ledger(change: Any, told: str) -> None:
    value = json.loads(statement(RolloutRecord(number=0, previous=NOTHING_BEFORE, **said())))
    assert value["predicateType"] == PREDICATE_TYPE
    change(value)
    with pytest.raises(IntegrityError, match=told):
        read([SIGNER.sign(json.dumps(value).encode()).removesuffix(b"\n")])
