"""Values in bytes and in JSON: little-endian, row by row, and no more and no fewer than the shape takes."""

from __future__ import annotations

import numpy as np
import pytest

from mlopt.protocol.tensors import DATATYPES, ProtocolError, datatype_of, dtype_of, of_bytes, to_bytes, to_plain


def test_every_datatype_has_one_dtype() -> None:
    assert {dtype: dtype_of(datatype_of(dtype)) for dtype in DATATYPES} == {dtype: dtype for dtype in DATATYPES}


def test_bytes_are_little_endian_and_row_by_row() -> None:
    array = np.array([[1, 2], [3, 4]], dtype=">i2").T
    assert to_bytes(array) == bytes([1, 0, 3, 0, 2, 0, 4, 0])
    np.testing.assert_array_equal(of_bytes(to_bytes(array), "int16", (2, 2)), array)


def test_strings_have_their_length_before_them() -> None:
    assert to_bytes(np.array(["ä", ""], dtype=object)) == b"\x02\x00\x00\x00\xc3\xa4\x00\x00\x00\x00"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02\x00\x00\x00a", b"\x01\x00\x00\x00ab", b"\x01\x00\x00\x00\xff"])
def test_strings_that_end_too_early_or_too_late_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        of_bytes(data, "object", (1,))


def test_numbers_are_plain_in_json() -> None:
    assert to_plain(np.array([[1.5, 2]], dtype=np.float16)) == [1.5, 2.0]
    assert to_plain(np.array([True])) == [True]


def test_a_type_without_a_name_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no such type"):
        datatype_of("bfloat16")
