"""The package ``datasketches``: the one place that knows it. It never sees bytes that were not checked before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlopt.core.errors import MissingPackage
from mlopt.core.packages import install_command, version
from mlopt.sketches import distinct, kll

Numbers = Any
"""The library's sketch of numbers."""
Distinct = Any
"""The library's sketch of how many values differ."""


def installed() -> bool:
    """Whether anything can be sketched here."""
    return version("datasketches") is not None


def check_installed() -> None:
    """Raise ``MissingPackage`` where nothing can be sketched."""
    _library()


def numbers(data: bytes | None = None) -> Numbers:
    """Return a sketch of numbers, empty or of bytes; raises ``DataError`` for bytes that are none."""
    kind = _library().kll_floats_sketch
    if data is None:
        return kind(kll.K)
    kll.parse(data)
    return kind.deserialize(data)


def distinct_values(data: bytes | None = None) -> Distinct:
    """Return a sketch of how many values differ, empty or of bytes; raises ``DataError`` for bytes that are none."""
    found = _library()
    return found.hll_sketch(distinct.LG_K, found.HLL_8) if data is None else found.hll_sketch.deserialize(
        distinct.check(data)
    )  # fmt: skip


def united(sketches: Iterable[bytes]) -> bytes:
    """Return the bytes of one sketch of all the values of several."""
    found = _library()
    union = found.hll_union(distinct.LG_K)
    for data in sketches:
        union.update(distinct_values(data))
    return bytes(union.get_result(found.HLL_8).serialize_compact())


def _library() -> Any:
    if not installed():
        raise MissingPackage("datasketches is not installed", got="sketches of data", fix=install_command("monitor"))
    import datasketches

    return datasketches
