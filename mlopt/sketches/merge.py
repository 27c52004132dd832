"""Sketches of several servers, or weeks, as one: the counts add up exactly, and the order makes no difference to them.

Merged sketches of numbers are as good as one of all the values would be, in whatever order (KLL is made for that).
"""

from __future__ import annotations

from collections.abc import Sequence

from mlopt.core.errors import DataError
from mlopt.sketches import library
from mlopt.sketches.document import PartSketch, Sketches, TensorSketch, decoded, encoded


def merge(documents: Sequence[Sketches]) -> Sketches:
    """Return one document of all; raises ``DataError`` where they are not of the same tensors, or there is none."""
    if not documents:
        raise DataError("there are no sketches to merge")
    first = documents[0]
    for other in documents[1:]:
        if _form(other) != _form(first):
            raise DataError("sketches of different tensors cannot be merged", got=str(_form(other))[:200],
                            expected=str(_form(first))[:200])  # fmt: skip
    digests = {each.digest for each in documents}
    return Sketches(
        digest=first.digest if len(digests) == 1 else None,
        rows=sum(each.rows for each in documents), offered=sum(each.offered for each in documents),
        tensors=tuple(map(_tensor, zip(*(each.tensors for each in documents), strict=True))),
        left_out=first.left_out,
    )  # fmt: skip


def _form(document: Sketches) -> list[tuple[object, ...]]:
    return [
        (one.side, one.name, one.form, one.dtype, one.size, tuple(part.name for part in one.parts))
        for one in document.tensors
    ]


def _tensor(every: Sequence[TensorSketch]) -> TensorSketch:
    first = every[0]
    sketched = [decoded(each.distinct) for each in every if each.distinct is not None]
    counts = [each.classes for each in every if each.classes is not None]
    if len({len(each) for each in counts}) > 1:
        raise DataError("sketches of different classes cannot be merged", where=f"{first.side} '{first.name[:100]}'")
    return first.model_copy(update={
        "rows": sum(each.rows for each in every),
        "empty": sum(each.empty for each in every),
        "parts": tuple(map(_part, zip(*(each.parts for each in every), strict=True))),
        "distinct": encoded(library.united(sketched)) if sketched else None,
        "classes": tuple(map(sum, zip(*counts, strict=True))) if counts else None,
    })  # fmt: skip


def _part(every: Sequence[PartSketch]) -> PartSketch:
    joined = library.numbers()
    for each in every:
        joined.merge(library.numbers(each.data))
    below, above = _sum([each.below for each in every]), _sum([each.above for each in every])
    return PartSketch(
        name=every[0].name, kll=encoded(bytes(joined.serialize())), nan=sum(each.nan for each in every),
        inf=sum(each.inf for each in every), minus_inf=sum(each.minus_inf for each in every), below=below, above=above,
    )  # fmt: skip


def _sum(counts: Sequence[int | None]) -> int | None:
    """Add up; where one was not counted, the sum is not known."""
    known = [each for each in counts if each is not None]
    return sum(known) if len(known) == len(counts) else None
