"""How errors are told to whoever asks over HTTP."""

from __future__ import annotations

from mlopt.core.errors import ModelError
from mlopt.serve.faults import AnswerError, ModelFailed, bad, full, late, leaving, sentence


def test_each_has_its_status_and_only_503_says_when_to_come_again() -> None:
    assert [error.status for error in (bad("x"), full(), leaving(), late())] == [400, 503, 503, 504]
    assert full().headers == leaving().headers == {"Retry-After": "1"}
    assert late().headers == bad("x").headers == {}


def test_a_sentence_has_what_was_found_and_expected_in_one_line_and_no_place_on_this_machine() -> None:
    error = ModelError("it\nfailed", where="/home/somebody/model.onnx", got="1", expected="2", fix="mend it")
    assert sentence(error) == "it failed (got 1; expected 2)"
    assert len(sentence(ModelError("x" * 10_000))) == 600


def test_what_a_model_raises_is_a_fault_of_the_server() -> None:
    assert (ModelFailed(ModelError("no")).status, str(ModelFailed(ModelError("no")))) == (
        500, "the model could not answer: no",
    )  # fmt: skip
    assert "ValueError: odd" in str(ModelFailed(ValueError("odd")))
    assert AnswerError(413, "large", unread=True).unread
