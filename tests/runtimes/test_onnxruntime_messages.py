"""What is read off ONNX Runtime's sentences, in the words of the version that is installed."""

from __future__ import annotations

import logging

import pytest

from mlopt.runtimes import onnxruntime_messages as messages

NO_KERNEL = "ONNX Runtime refuses the model: Could not find an implementation for MatMul(13) node with name 'product'"


def test_the_operator_without_a_kernel_is_named() -> None:
    assert messages.without_kernel(NO_KERNEL) == "MatMul"
    assert messages.briefly(NO_KERNEL).endswith("Could not find an implementation for MatMul(13)")


def test_a_refusal_for_another_reason_names_none_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlopt")
    assert messages.without_kernel("the model is damaged") is None
    assert "no operator without a kernel was found in: the model is damaged" in caplog.text


def test_only_what_changed_something_fired() -> None:
    log = b"GraphTransformer ConvBNFusion modified: 1 with\nGraphTransformer Other modified: 0\n"
    assert messages.fusions(log) == ["ConvBNFusion"]
    assert messages.fusions(b"GraphTransformer Other modified: 0\n") == []


def test_a_log_in_other_words_is_not_taken_for_nothing_fired(caplog: pytest.LogCaptureFixture) -> None:
    assert messages.fusions(b"GraphTransformer ConvBNFusion: changed\n") == []
    assert "which fusions fired is not known" in caplog.text


@pytest.mark.parametrize(
    ("cause", "ran", "values"),
    [
        ("ONNX Runtime could not run the model: indices element out of data bounds", True, True),
        ("ONNX Runtime could not run the model: shapes do not match", True, False),
        ("ONNX Runtime refuses the model: it is damaged", False, False),
    ],
)
def test_whether_a_model_ran_and_what_is_to_blame(cause: str, ran: bool, values: bool) -> None:
    assert (not messages.could_not_run(cause), messages.blames_values(cause)) == (not ran, values)
