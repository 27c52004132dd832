"""Answers kept by what was asked: bounded in bytes, the one that was not asked for longest goes first. Pure.

An answer belongs to the digest of the artifact that gave it, so a new version never gets the old one's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mlopt.protocol.tensors import to_bytes

Array = NDArray[Any]
Arrays = Mapping[str, Array]
_OVERHEAD = 512
"""Bytes that an entry takes beside its arrays, at least."""


class ResponseCache:
    """Outputs by ``key_of``; with no bytes it keeps nothing."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._entries: OrderedDict[str, tuple[Arrays, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: str) -> Arrays | None:
        """Return what was answered, if it is still there."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: str, outputs: Arrays) -> None:
        """Keep an answer, a copy of its own; one that is larger than the whole cache is not kept."""
        size = _OVERHEAD + sum(array.nbytes for array in outputs.values())
        if size > self._most:
            return
        self._forget(key)
        self._entries[key] = {name: array.copy() for name, array in outputs.items()}, size
        self.bytes += size
        while self.bytes > self._most:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: str) -> None:
        _, size = self._entries.pop(key, ({}, 0))
        self.bytes -= size


def key_of(digest: str, feeds: Arrays) -> str:
    """Return the SHA-256 of who is asked and of all inputs: names, dtypes, shapes and values."""
    found = hashlib.sha256(digest.encode())
    for name in sorted(feeds):
        array = feeds[name]
        values = to_bytes(array)
        found.update(f"\0{name}\0{array.dtype.kind}{array.dtype.itemsize}{array.shape}{len(values)}\0".encode())
        found.update(values)
    return found.hexdigest()
