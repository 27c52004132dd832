"""One tensor as the protocol writes it: a name, a datatype, a shape, and its values in JSON or in bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import UserError

Array = NDArray[Any]

DATATYPES: Mapping[str, str] = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "object": "BYTES",
}  # fmt: skip
"""The protocol's name of each dtype of NumPy; strings are ``object`` there, and BYTES here, in UTF-8."""
_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
_LENGTH = struct.Struct("<I")
MAX_RANK = 32
"""As many dimensions as any library here knows; a request may come from anybody."""


class ProtocolError(UserError):
    """A message that is not one of the protocol, or does not fit; an HTTP server answers with 400."""


def datatype_of(dtype: str) -> str:
    """Return the protocol's name of a NumPy dtype; raises ``ProtocolError`` for one that it has no name for."""
    known = "object" if dtype in {"str", "string"} else dtype
    if known not in DATATYPES:
        raise ProtocolError("the protocol has no such type", got=dtype, expected=", ".join(DATATYPES))
    return DATATYPES[known]


def dtype_of(datatype: object) -> str:
    """Return the NumPy dtype of a datatype; raises ``ProtocolError`` for an unknown one."""
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise ProtocolError("unknown datatype", got=str(datatype)[:40], expected=", ".join(_DTYPES))
    return _DTYPES[datatype]


def to_plain(array: Array) -> list[Any]:
    """Return an array's values for JSON, flat and row by row; raises ``ProtocolError`` for NaN and infinities.

    JSON has no such numbers: they take the binary form.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ProtocolError("JSON has no NaN and no infinity", fix="ask for binary data")
    if array.dtype.kind in "OSU":
        return [one.decode("utf-8") if isinstance(one, bytes) else str(one) for one in array.ravel().tolist()]
    return array.ravel().tolist()


def of_plain(values: object, dtype: str, shape: tuple[int, ...]) -> Array:
    """Return the array [shape] of values from JSON, flat or nested; raises ``ProtocolError`` if they do not fit."""
    flat = list(_flat(values))
    if len(flat) != math.prod(shape):
        raise ProtocolError("shape and data do not go together", got=f"{len(flat)} values", expected=f"{list(shape)}")
    if dtype == "object":
        if not all(isinstance(one, str) for one in flat):
            raise ProtocolError("BYTES data are strings in JSON")
        return np.array(flat, dtype=object).reshape(shape)
    kinds = (bool,) if dtype == "bool" else (int, float)
    if not all(isinstance(one, kinds) and (dtype == "bool" or not isinstance(one, bool)) for one in flat):
        raise ProtocolError("data are not of their datatype", expected=DATATYPES[dtype])
    return _exact(flat, dtype).reshape(shape)


def _exact(flat: list[Any], dtype: str) -> Array:
    """Return numbers as ``dtype``; raises ``ProtocolError`` for one that is not whole, or too large."""
    wanted = np.dtype(dtype)
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        if any(isinstance(one, float) or not limits.min <= one <= limits.max for one in flat):
            raise ProtocolError("a value is not in the range of its datatype", expected=DATATYPES[dtype])
        return np.array(flat, dtype=wanted)
    with np.errstate(over="ignore"):
        try:
            found = np.array(flat, dtype=np.float64 if wanted.kind == "f" else wanted).astype(wanted)
        except OverflowError as error:
            raise ProtocolError("a value is too large for its datatype", expected=DATATYPES[dtype]) from error
    if wanted.kind == "f" and not np.isfinite(found).all():
        raise ProtocolError("a value is too large for its datatype", expected=DATATYPES[dtype])
    return found


def _flat(values: object, depth: int = 0) -> Iterator[Any]:
    if depth > MAX_RANK:
        raise ProtocolError("data are nested too deeply", expected=f"at most {MAX_RANK} levels")
    if not isinstance(values, list):
        raise ProtocolError("data must be a list", got=type(values).__name__)
    for one in values:
        if isinstance(one, list):
            yield from _flat(one, depth + 1)
        else:
            yield one


def to_bytes(array: Array) -> bytes:
    """Return an array's values in bytes: little-endian, row by row; strings each with their length before them."""
    if array.dtype.kind in "OSU":
        each = (one if isinstance(one, bytes) else str(one).encode() for one in array.ravel().tolist())
        return b"".join(_LENGTH.pack(len(one)) + one for one in each)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def of_bytes(data: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """Return the array [shape] of such bytes; raises ``ProtocolError`` if they are not as many as the shape takes."""
    count = math.prod(shape)
    if dtype == "object":
        return np.array(list(_strings(data, count)), dtype=object).reshape(shape)
    wanted = np.dtype(dtype).newbyteorder("<")
    if len(data) != count * wanted.itemsize:
        expected = f"{count * wanted.itemsize} bytes for {list(shape)}"
        raise ProtocolError("shape and data do not go together", got=f"{len(data)} bytes", expected=expected)
    return np.frombuffer(data, wanted).astype(dtype).reshape(shape)


def _strings(data: bytes, count: int) -> Iterator[str]:
    at = 0
    for _ in range(count):
        if at + _LENGTH.size > len(data):
            raise ProtocolError("BYTES data end too early", got=f"{len(data)} bytes", expected=f"{count} strings")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise ProtocolError("BYTES data end too early", got=f"{len(data)} bytes", expected=f"{count} strings")
        try:
            yield data[at : at + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("a string is not UTF-8") from error
        at += length
    if at != len(data):
        raise ProtocolError("there are more BYTES data than the shape takes", got=f"{len(data) - at} bytes more")
