"""What a request feeds, held against the model's inputs."""

from __future__ import annotations

import numpy as np
import pytest

from mlopt.formats.model import TensorSpec
from mlopt.serve.faults import AnswerError
from mlopt.serve.inputs import InputCheck

SPECS = (
    TensorSpec("ids", "int64", ("batch", "length")), TensorSpec("mask", "int64", ("batch", "length")),
    TensorSpec("image", "float32", ("batch", 3)),
)  # fmt: skip
GOOD = {"ids": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), np.int64), "image": np.ones((2, 3), np.float32)}


def said(**changes: object) -> str:
    with pytest.raises(AnswerError) as caught:
        InputCheck(SPECS).checked({name: array for name, array in (GOOD | changes).items() if array is not None})
    assert caught.value.status == 400
    return str(caught.value)


def test_what_fits_is_returned_in_the_model_s_order() -> None:
    assert list(InputCheck(SPECS).checked(dict(reversed(GOOD.items())))) == ["ids", "mask", "image"]


def test_names_types_axes_and_sizes() -> None:
    assert "the model has no input 'odd'" in said(odd=np.ones(1))
    assert "an input is missing" in said(mask=None)
    assert "input 'image' is of another type" in said(image=np.ones((2, 3)))
    assert "FP64 [2, 3]" in said(image=np.ones((2, 3)))
    assert "input 'image' has another number of axes" in said(image=np.ones(3, np.float32))
    assert "input 'image' has sizes that do not fit" in said(image=np.ones((2, 4), np.float32))
    assert "input 'mask' has sizes that do not fit" in said(mask=np.ones((2, 6), np.int64))
    assert "input 'image' has sizes that do not fit" in said(image=np.ones((3, 3), np.float32))


def test_a_fixed_value_must_be_held() -> None:
    check = InputCheck((TensorSpec("rate", "int64", (), 16000),))
    assert check.checked({"rate": np.array(16000)})
    with pytest.raises(AnswerError, match="8000 instead of 16000"):
        check.checked({"rate": np.array(8000)})


def test_text_is_text_however_it_is_held() -> None:
    check = InputCheck((TensorSpec("text", "string", ("batch",)),))
    assert check.checked({"text": np.array(["a", "b"], object)})
    assert check.checked({"text": np.array(["a", "b"])})
    with pytest.raises(AnswerError, match="another type"):
        check.checked({"text": np.array([1, 2])})
