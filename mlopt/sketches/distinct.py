"""The bytes of a HyperLogLog sketch, checked before the library reads them: they may be anybody's.

The layout: preamble length in words of 4 bytes, serial version, family, log2 of the number of registers, log2 of the
size of a list, flags, a count (of a list), and mode and type. A list or a set holds coupons of 4 bytes; then come 40
bytes of preamble and a byte for each register. Source: https://datasketches.apache.org/docs/HLL.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from mlopt.core.errors import DataError

LG_K = 10
RELATIVE_ERROR = 1.04 / math.sqrt(1 << LG_K)
"""The standard error of a count."""
MAX_BYTES = 40 + (1 << LG_K)
_FAMILY, _TYPE = 7, 2
_LIST, _SET, _REGISTERS = 0, 1, 2
_LG_LIST, _LG_LARGEST_SET = 3, 7
_COMPACT, _OTHER_FLAGS = 8, 4 | 16
_LARGEST_REGISTER = 63


def check(data: bytes) -> bytes:
    """Return the bytes; raises ``DataError`` for what the library would not have written."""
    if not 8 <= len(data) <= MAX_BYTES:
        raise _refused(f"{len(data)} bytes")
    length, version, family, lg_k, lg_size, flags, count, kind = data[:8]
    mode = kind & 3
    if (version, family, lg_k, kind) != (1, _FAMILY, LG_K, _TYPE << 2 | mode) or flags & ~_OTHER_FLAGS != _COMPACT:
        raise _refused(f"version {version}, family {family}, 2^{lg_k} registers, kind {kind}, flags {flags}")
    fits = {
        _LIST: length == 2 and lg_size == _LG_LIST and count <= 1 << lg_size and len(data) == 8 + 4 * count,
        _SET: length == 3 and lg_size <= _LG_LARGEST_SET and _is_set(data, 1 << lg_size),
        _REGISTERS: length == 10 and lg_size == count == 0 and len(data) == MAX_BYTES and _are_registers(data),
    }  # fmt: skip
    if not fits.get(mode):
        raise _refused(f"mode {mode} of {len(data)} bytes")
    return data


def _is_set(data: bytes, room: int) -> bool:
    if len(data) < 12:
        return False
    (count,) = struct.unpack_from("<I", data, 8)
    return bool(count <= room and len(data) == 12 + 4 * count)


def _are_registers(data: bytes) -> bool:
    least, more = struct.unpack_from("<2I", data, 32)
    fair = all(math.isfinite(one) and one >= 0 for one in struct.unpack_from("<3d", data, 8))
    registers = np.frombuffer(data, np.uint8, offset=40)
    return bool(fair and least <= 1 << LG_K and more == 0 and registers.max() <= _LARGEST_REGISTER)


def _refused(got: str) -> DataError:
    expected = f"HyperLogLog of bytes, 2^{LG_K} registers"
    return DataError("this is no sketch that mlopt wrote", got=got, expected=expected)
