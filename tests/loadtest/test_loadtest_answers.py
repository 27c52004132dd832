"""Answers held against the artifact's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopt.loadtest.answers import AnswerBook, AnswerCheck, RawAnswer, allowed_errors
from mlopt.loadtest.volley import Volley
from mlopt.protocol.messages import HEADER_LENGTH, InferAnswer, write_answer
from mlopt.results.figures import Fidelity, OutputFidelity

EXPECTED = [{"y": np.array([[1.0, 2.0, 3.0]], np.float32)}, {"y": np.array([[-1.0, 5.0, 0.5]], np.float32)}]
DIGEST = "ab" * 32


def raw(outputs: dict[str, Any], *, digest: str | None = None, inside: str | None = None) -> RawAnswer:
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    parameters = {} if inside is None else {"digest": inside}
    message = write_answer(InferAnswer(arrays, "m", parameters=parameters), None)
    return RawAnswer(message.body, message.headers.get(HEADER_LENGTH), digest)


def test_rounding_is_right_and_more_is_wrong() -> None:
    check = AnswerCheck(EXPECTED, {})
    assert check.fault(0, raw({"y": EXPECTED[0]["y"] * np.float32(1.0001)})) is None
    found = check.fault(0, raw({"y": EXPECTED[0]["y"] * np.float32(1.05)}))
    assert found is not None
    assert found[0] == "wrong"
    assert "sample 0: output 'y'" in found[1]


def test_another_samples_answer_is_wrong() -> None:
    found = AnswerCheck(EXPECTED, {"y": 0.2}).fault(0, raw(EXPECTED[1]))
    assert found is not None
    assert found[0] == "wrong"


def test_what_the_report_says_of_its_error_is_allowed_twice() -> None:
    one = OutputFidelity(cosine=0.99, sqnr_db=20.0, max_abs=1, shift=0, worst_part=0, part="")
    outputs = {"y": one, "z": one.model_copy(update={"sqnr_db": None})}
    fidelity = Fidelity(cosine=0.99, sqnr_db=20.0, max_abs=1, n=10, outputs=outputs)
    assert allowed_errors(fidelity) == {"y": pytest.approx(0.2), "z": 0.0}
    assert allowed_errors(None) == {}
    check = AnswerCheck(EXPECTED, {"y": 0.2})
    assert check.fault(0, raw({"y": EXPECTED[0]["y"] * np.float32(1.19)})) is None
    assert check.fault(0, raw({"y": EXPECTED[0]["y"] * np.float32(1.21)})) is not None


@pytest.mark.parametrize(
    "outputs",
    [
        {"y": np.zeros((1, 2), np.float32)}, {"z": np.zeros((1, 3), np.float32)},
        {"y": np.array([[1.0, np.nan, 3.0]], np.float32)}, {"y": np.array([[1, 2, 4]], np.int64)},
        {"y": np.array([["a", "b", "c"]], object)},
    ],
)  # fmt: skip
def test_another_shape_name_kind_or_nan_is_wrong_whatever_is_allowed(outputs: dict[str, Any]) -> None:
    found = AnswerCheck(EXPECTED, {"y": 0.5}).fault(0, raw(outputs))
    assert found is not None
    assert found[0] == "wrong"


def test_texts_whole_numbers_nan_and_nothing_found_are_compared_as_they_are() -> None:
    expected = {
        "text": np.array(["a", "b"], object), "count": np.array([3, 4]), "gap": np.array([np.nan, 1.0]),
        "boxes": np.zeros((0, 4), np.float32),
    }  # fmt: skip
    check = AnswerCheck([expected], {})
    assert check.fault(0, raw(expected)) is None
    assert check.fault(0, raw(expected | {"text": np.array(["a", "c"], object)})) is not None
    assert check.fault(0, raw(expected | {"count": np.array([3, 5])})) is not None
    assert check.fault(0, raw(expected | {"boxes": np.zeros((1, 4), np.float32)})) is not None


def test_an_answer_names_the_artifact_in_its_header_or_its_body_and_no_other() -> None:
    check = AnswerCheck(EXPECTED, {}, DIGEST)
    assert check.fault(0, raw(EXPECTED[0], digest=DIGEST)) is None
    assert check.fault(0, raw(EXPECTED[0], inside=DIGEST)) is None
    for other in (raw(EXPECTED[0], digest="cd"), raw(EXPECTED[0], inside="cd")):
        assert check.fault(0, other) == ("digest", f"cd instead of {DIGEST}")
    assert not check.unnamed


def test_a_server_that_names_none_is_known_by_its_answers_alone() -> None:
    check = AnswerCheck(EXPECTED, {}, DIGEST)
    assert check.fault(0, raw(EXPECTED[0])) is None
    assert check.unnamed


def test_what_is_no_answer_of_the_protocol_is_unreadable() -> None:
    for body in (b"", b"{}", b"<html>", b'{"outputs": 3}'):
        found = AnswerCheck(None, {}).fault(0, RawAnswer(body))
        assert found is not None
        assert found[0] == "unreadable"
    assert AnswerCheck(None, {}).fault(0, raw({"anything": [1.0]})) is None


def test_samples_that_are_answered_alike_cannot_be_told_apart() -> None:
    assert AnswerCheck(EXPECTED, {}).told_apart() == (2, 2)
    assert AnswerCheck([EXPECTED[0]] * 3, {}).told_apart() == (0, 3)
    assert AnswerCheck(None, {}).told_apart() == (0, 0)


class CountingCheck(AnswerCheck):
    def __init__(self) -> None:
        super().__init__(EXPECTED, {})
        self.looked = 0

    def fault(self, sample: int, answer: RawAnswer) -> tuple[str, str] | None:
        self.looked += 1
        return super().fault(sample, answer)


def test_equal_answers_are_looked_at_once_and_when_the_load_is_over() -> None:
    check = CountingCheck()
    book, volley = AnswerBook(check), Volley.planned(np.arange(6.0))
    for number in range(4):
        book.note(number, 0, raw(EXPECTED[0]))
    book.note(4, 1, raw(EXPECTED[0]))
    book.note(5, 1, raw(EXPECTED[1]))
    assert check.looked == 0
    book.settle(volley)
    assert check.looked == 3
    assert volley.failed == [None, None, None, None, "wrong", None]
    again = Volley.planned(np.arange(6.0))
    book.note(2, 1, raw(EXPECTED[0]))
    book.settle(again)
    assert check.looked == 3
    assert again.failed == [None, None, "wrong", None, None, None]


def test_above_its_bytes_an_answer_is_looked_at_at_once() -> None:
    check = CountingCheck()
    book, volley = AnswerBook(check, limit=0), Volley.planned(np.arange(2.0))
    book.note(0, 0, raw(EXPECTED[1]))
    book.note(1, 0, raw(EXPECTED[0]))
    assert check.looked == 2
    book.settle(volley)
    assert check.looked == 2
    assert volley.failed == ["wrong", None]
