"""What a server answered, held against what the artifact answers itself: a wrong answer is no latency, but a failure.

How far they may be apart: as far as rounding goes (``measure.tolerance``). Where the artifact's report has a fidelity,
also by twice the error that it found, of the same output: a model in few bits that is fed in other batches, or run by
another library, rounds elsewhere, and two models that are each so far from their source are no more than twice as far
from each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import MloptError
from mlopt.loadtest.sender import Fault
from mlopt.loadtest.volley import DIGEST, UNREADABLE, WRONG, Volley
from mlopt.measure.tolerance import scales, within_tolerance
from mlopt.protocol.messages import read_answer
from mlopt.protocol.tensors import ProtocolError
from mlopt.results.figures import Fidelity

Array = NDArray[Any]
Outputs = Mapping[str, Array]

DIGEST_KEY = "digest"
_KEPT_BYTES = 1 << 28
_TIMES = 2.0
_LONGEST = 200


@dataclass(frozen=True)
class RawAnswer:
    """The body of an answer as it came, and what its headers say."""

    body: bytes
    header_length: str | None = None
    digest: str | None = None


def allowed_errors(fidelity: Fidelity | None) -> dict[str, float]:
    """Return the error that each output may have, as a share of its size; none without a fidelity."""
    if fidelity is None:
        return {}
    return {
        name: 0.0 if one.sqnr_db is None else _TIMES * float(10 ** (-one.sqnr_db / 20))
        for name, one in fidelity.outputs.items()
    }


class AnswerCheck:
    """Knows what is right: ``expected`` by sample, None if nobody knows; no answer may name another ``digest``."""

    def __init__(
        self, expected: Sequence[Outputs] | None, allowed: Mapping[str, float], digest: str | None = None
    ) -> None:
        self._expected = None if expected is None else [_comparable(each) for each in expected]
        self._allowed, self._digest = allowed, digest
        self._largest = _largest(self._expected or [])
        self.unnamed = False
        """Whether an answer has named no artifact: not every server can."""

    def fault(self, sample: int, answer: RawAnswer) -> Fault | None:
        """Return what is wrong with an answer, or None."""
        try:
            found = read_answer(answer.body, answer.header_length)
        except ProtocolError as error:
            return UNREADABLE, error.brief[:_LONGEST]
        told = answer.digest or found.parameters.get(DIGEST_KEY)
        self.unnamed = self.unnamed or told is None
        if self._digest is not None and told not in (None, self._digest):
            return DIGEST, f"{str(told)[:_LONGEST]} instead of {self._digest}"
        if self._expected is None:
            return None
        why = self._wrong(self._expected[sample], _comparable(found.outputs))
        return None if why is None else (WRONG, f"sample {sample}: {why}"[:_LONGEST])

    def told_apart(self) -> tuple[int, int]:
        """Return how many samples have an answer that would be wrong for the next one, and how many samples there are.

        An answer to another's question is found only where they differ.
        """
        all_ = self._expected or []
        return sum(self._wrong(one, all_[place - 1]) is not None for place, one in enumerate(all_)), len(all_)

    def _wrong(self, expected: Outputs, got: Outputs) -> str | None:
        if set(expected) != set(got):
            return f"outputs {', '.join(got) or 'none'} instead of {', '.join(expected)}"
        for name, wanted in expected.items():
            try:
                why = self._differs(name, wanted, got[name])
            except MloptError as error:
                why = f"output '{name}': {error.brief}"
            if why is not None:
                return why
        return None

    def _differs(self, name: str, wanted: Array, found: Array) -> str | None:
        if wanted.dtype.kind != found.dtype.kind:
            return f"output '{name}': {found.dtype} instead of {wanted.dtype}"
        if wanted.shape == found.shape and not wanted.size:
            return None
        why = within_tolerance({name: wanted}, {name: found}, self._largest)
        return None if why is None or _relative(wanted, found) <= self._allowed.get(name, 0.0) else why


def _largest(expected: Sequence[Outputs]) -> dict[str, float]:
    found: dict[str, float] = {}
    for outputs in expected:
        for name, size in scales({name: array for name, array in outputs.items() if array.size}).items():
            found[name] = max(found.get(name, 0.0), size)
    return found


def _comparable(outputs: Outputs) -> dict[str, Array]:
    """Return texts as NumPy's own: an array of objects would be taken for samples of several sizes."""
    return {name: array.astype(str) if array.dtype.kind in "OS" else array for name, array in outputs.items()}


def _relative(wanted: Array, found: Array) -> float:
    """Return the size of the error over that of what is wanted; infinite where it is no small one."""
    if wanted.dtype.kind != "f" or wanted.shape != found.shape:
        return float("inf")
    a, b = wanted.astype(np.float64), found.astype(np.float64)
    size = float(np.linalg.norm(a))
    error = float(np.linalg.norm(a - b))
    return error / size if size > 0 and np.isfinite(error) else float("inf")


@dataclass
class AnswerBook:
    """Answers as they come, each different one kept once and looked at when the load is over.

    To compare takes the time that the generator needs for the next request; above ``limit`` bytes it is done at once.
    """

    check: AnswerCheck
    limit: int = _KEPT_BYTES
    _numbers: dict[bytes, list[int]] = field(default_factory=dict)
    _kept: dict[bytes, tuple[int, RawAnswer]] = field(default_factory=dict)
    _known: dict[bytes, Fault | None] = field(default_factory=dict)
    _bytes: int = 0

    def note(self, number: int, sample: int, answer: RawAnswer) -> None:
        """Take the answer to the request of a number."""
        head = f"{sample}\0{answer.header_length}\0{answer.digest}\0".encode()
        key = hashlib.blake2b(head + answer.body, digest_size=16).digest()
        self._numbers.setdefault(key, []).append(number)
        if key in self._known or key in self._kept:
            return
        if self._bytes + len(answer.body) > self.limit:
            self._known[key] = self.check.fault(sample, answer)
            return
        self._kept[key] = sample, answer
        self._bytes += len(answer.body)

    def settle(self, volley: Volley) -> None:
        """Look at what was kept, mark what is wrong in ``volley``, and forget the requests."""
        for key, (sample, answer) in self._kept.items():
            self._known[key] = self.check.fault(sample, answer)
        self._kept, self._bytes = {}, 0
        for key, numbers in self._numbers.items():
            fault = self._known[key]
            for number in numbers if fault is not None else ():
                volley.fail(number, *fault)  # type: ignore[misc]
        self._numbers = {}
