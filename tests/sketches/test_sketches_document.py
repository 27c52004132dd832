"""The document: what is written is read again, and what was tampered with is refused before the library sees it."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketched import document

from mlopt.core.errors import DataError
from mlopt.formats.model import TensorSpec
from mlopt.sketches import MAX_BYTES, Sketcher, plan_of, read, write
from mlopt.sketches.document import MAX_PARTS, SCHEMA

import numpy as np  # isort: skip


def changed(path: tuple[Any, ...], value: object) -> bytes:
    held = json.loads(write(document(300)))
    inside = held
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return json.dumps(held).encode()


def test_what_is_written_is_read_again() -> None:
    made = document(300, digest="c" * 64)
    data = write(made)
    assert read(data, "here") == made
    assert json.loads(data)["schema"] == SCHEMA
    assert len(data) < 20_000


def test_the_largest_plan_stays_within_the_limit() -> None:
    many = plan_of([TensorSpec(str(n), "float32", ("b", 64)) for n in range(MAX_PARTS // 64)], [])
    sketcher = Sketcher(many)
    rng = np.random.default_rng(0)
    for _ in range(4):
        sketcher.add({one.name: rng.random((2000, 64), dtype=np.float32) for one in many.tensors}, {})
    assert MAX_BYTES // 2 < len(write(sketcher.document())) < MAX_BYTES


@pytest.mark.parametrize(("path", "value", "what"), [
    (("schema",), "mlopt.sketches/v2", "schema"),
    (("extra",), 1, "extra"),
    (("rows",), -1, "rows"),
    (("rows",), 7, "more rows than there are"),
    (("digest",), "short", "digest"),
    (("tensors", 0, "form"), "pictures", "form"),
    (("tensors", 0, "parts", 0, "nan"), 301, "more rows than there are"),
    (("tensors", 0, "rows"), 20, "more"),
    (("tensors", 1, "classes"), [400, 0, 0], "more rows"),
    (("tensors", 0, "parts", 0, "kll"), "!!", "base64"),
    (("tensors", 0, "parts", 0, "kll"), base64.b64encode(b"nothing at all").decode(), "no sketch that mlopt wrote"),
    (("tensors", 0, "parts", 0, "kll"), "A" * 100_000, "kll"),
    (("tensors", 0, "distinct"), base64.b64encode(b"nothing at all").decode(), "no sketch that mlopt wrote"),
])  # fmt: skip
def test_what_was_tampered_with_is_refused(path: tuple[Any, ...], value: object, what: str) -> None:
    with pytest.raises(DataError, match="malformed") as caught:
        read(changed(path, value), "stranger.json")
    assert what in str(caught.value)
    assert "stranger.json" in str(caught.value)


def test_a_document_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(DataError, match="too large"):
        read(b" " * (MAX_BYTES + 1), "here")


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 5000), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int, value: int) -> None:
    honest = _HONEST
    for data in (noise, honest[:at] + bytes([value]) + honest[at + 1 :], honest[: at % len(honest)]):
        with contextlib.suppress(DataError):
            assert write(read(data, "here"))


_HONEST = write(document(40))
