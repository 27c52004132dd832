"""The same rows asked of both versions, past the proxy: how answers are compared where nothing in between does it.

One row at a time, in the Open Inference Protocol, at the address where each version is reached by itself. Answers
differ where names, shapes or types do, where whole numbers or texts are not equal, or where numbers are further apart
than a share of the size of what the serving version answered. A row that the serving version does not answer says
nothing of the candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlopt.core.errors import DataError, MloptError
from mlopt.protocol.messages import HEADER_LENGTH, read_answer, write_request
from mlopt.protocol.tensors import Array
from mlopt.rollout.calls import accepted, call
from mlopt.rollout.observed import Observed

_LIMIT_S = 10.0


@dataclass
class AnswerProbe:
    """Rows to ask, in turn."""

    rows: Mapping[str, Array]
    """By the names of the inputs; the first axis is that of rows."""
    per_look: int = 20
    tolerance: float = 0.05
    """How far apart two answers may be, as a share of the size (Euclidean) of the serving version's."""
    at: int = 0

    @classmethod
    def of(cls, file: Path, tolerance: float) -> AnswerProbe:
        """Read the rows of a .npz file; raises ``DataError``."""
        try:
            with np.load(file, allow_pickle=False) as found:
                rows = {name: found[name] for name in found.files}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                "the rows cannot be read", where=str(file), got=str(error), expected="a .npz file"
            ) from error
        sizes = {len(each) if each.ndim else 0 for each in rows.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise DataError("the arrays do not have one number of rows", where=str(file), got=str(sorted(sizes)))
        return cls(rows, tolerance=tolerance)

    def look(self, stable: str, candidate: str) -> Observed:
        """Ask both addresses (``.../v2/models/NAME``) the next rows, and count how the candidate's answers compare."""
        counts = {"same": 0, "different": 0, "failed": 0}
        size = len(next(iter(self.rows.values())))
        for _ in range(self.per_look):
            row = {name: each[self.at % size : self.at % size + 1] for name, each in self.rows.items()}
            self.at += 1
            result = self._one(stable, candidate, row)
            if result is not None:
                counts[result] += 1
        return Observed(same=counts["same"], different=counts["different"], failed=counts["failed"])

    def _one(self, stable: str, candidate: str, row: Mapping[str, Array]) -> str | None:
        wanted = answered(stable, row)
        if wanted is None:
            return None
        found = answered(candidate, row)
        if found is None:
            return "failed"
        return "same" if alike(wanted, found, self.tolerance) else "different"


def answered(address: str, row: Mapping[str, Array]) -> Mapping[str, Array] | None:
    """Return the outputs for a row; None where there is no answer, or none of the protocol."""
    message = write_request(row)
    try:
        reply = call(
            "POST", f"{address}/infer", body=message.body, headers=message.headers, limit_s=_LIMIT_S, anywhere=True
        )
        return read_answer(accepted(reply, 200).body, reply.headers.get(HEADER_LENGTH.lower())).outputs
    except MloptError:
        return None


def alike(wanted: Mapping[str, Array], found: Mapping[str, Array], tolerance: float) -> bool:
    """Whether two answers are the same but for so much; NaN and infinity where the other has none are not."""
    if wanted.keys() != found.keys():
        return False
    return all(_alike(wanted[name], found[name], tolerance) for name in wanted)


def _alike(wanted: Array, found: Array, tolerance: float) -> bool:
    if wanted.shape != found.shape or wanted.dtype.kind != found.dtype.kind:
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(wanted, found))
    one, other = wanted.astype(np.float64), found.astype(np.float64)
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return False
    finite = np.isfinite(one)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return False
    size = float(np.linalg.norm(one[finite]))
    return float(np.linalg.norm(one[finite] - other[finite])) <= tolerance * size
