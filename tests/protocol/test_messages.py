"""What is written is read back, bit by bit; what a stranger sends is read, or refused with ``ProtocolError``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlopt.protocol.messages import (
    HEADER_LENGTH,
    InferAnswer,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from mlopt.protocol.tensors import DATATYPES, ProtocolError

NUMERIC = [name for name in DATATYPES if name != "object"]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=9)


def arrays(*, finite: bool) -> st.SearchStrategy[np.ndarray]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    options = {"allow_nan": False, "allow_infinity": False} if finite else {}
    numbers = st.sampled_from(NUMERIC).flatmap(
        lambda dtype: hnp.arrays(
            dtype, shapes, elements=hnp.from_dtype(np.dtype(dtype), **(options if dtype.startswith("float") else {}))
        )
    )
    return numbers | hnp.arrays(object, shapes, elements=TEXT, fill=st.nothing())


def tensors(*, finite: bool) -> st.SearchStrategy[dict[str, np.ndarray]]:
    return st.dictionaries(st.text(min_size=1, max_size=5), arrays(finite=finite), max_size=3)


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(got[name], array)


@given(tensors(finite=False))
def test_a_request_in_bytes_is_read_back(inputs: dict[str, np.ndarray]) -> None:
    message = write_request(inputs, id_="7")
    found = read_request(message.body, message.headers.get(HEADER_LENGTH))
    assert_same(found.inputs, inputs)
    assert (found.id, found.outputs, found.binary) == ("7", None, None)


@given(tensors(finite=True))
def test_a_request_in_json_is_read_back(inputs: dict[str, np.ndarray]) -> None:
    message = write_request(inputs, binary=False)
    json.loads(message.body)
    found = read_request(message.body)
    assert_same(found.inputs, inputs)
    assert (found.id, found.binary) == (None, frozenset())


@given(tensors(finite=True), st.booleans())
def test_an_answer_is_read_back(outputs: dict[str, np.ndarray], binary: bool) -> None:
    answer = InferAnswer(outputs, "m", "2", "7", {"digest": "d"})
    message = write_answer(answer, None if binary else frozenset())
    found = read_answer(message.body, message.headers.get(HEADER_LENGTH))
    assert_same(found.outputs, outputs)
    assert (found.model_name, found.model_version, found.id, found.parameters) == ("m", "2", "7", {"digest": "d"})


def test_an_answer_in_json_with_nan_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no NaN"):
        write_answer(InferAnswer({"y": np.array([np.nan])}, "m"))


def test_nested_data_are_read_as_flat_ones_are() -> None:
    body = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4.5]]}]}
    found = read_request(json.dumps(body).encode())
    np.testing.assert_array_equal(found.inputs["x"], np.array([[1, 2], [3, 4.5]], dtype=np.float32))


def test_outputs_may_be_chosen_each_in_its_form() -> None:
    asked = [{"name": "a"}, {"name": "b", "parameters": {"binary_data": True}}]
    found = read_request(json.dumps({"inputs": [], "outputs": asked}).encode())
    assert (found.outputs, found.binary) == (("a", "b"), frozenset({"b"}))


GOOD = {"name": "x", "shape": [2], "datatype": "INT8", "data": [1, 2]}
WRONG = {
    "no name": {"name": ""},
    "a shape of text": {"shape": "2"},
    "a negative dimension": {"shape": [-2]},
    "a shape that does not fit": {"shape": [3]},
    "an unknown type": {"datatype": "FP128"},
    "data that are none": {"data": None},
    "a value out of range": {"data": [1, 200]},
    "half a number": {"data": [1, 2.5]},
    "a bool for a number": {"data": [True, 2]},
    "text for a number": {"data": ["1", "2"]},
    "bytes that are not there": {"data": None, "parameters": {"binary_data_size": 2}},
    "a number of bytes below 0": {"parameters": {"binary_data_size": -1}},
    "a float that is too large": {"datatype": "FP16", "data": [1, 1e9]},
    "a number without end": {"datatype": "FP64", "data": [1, 10**400]},
    "numbers for text": {"datatype": "BYTES"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        read_request(json.dumps({"inputs": [GOOD | wrong]}).encode())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff", b'{"inputs": [{"name": NaN}]}', b"[" * 100_000, b'{"inputs": {}}']
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_request(body)


def test_a_deep_list_is_refused() -> None:
    deep = "[" * 200 + "]" * 200
    with pytest.raises(ProtocolError, match="too deeply"):
        read_request(f'{{"inputs": [{{"name": "x", "shape": [0], "datatype": "FP32", "data": {deep}}}]}}'.encode())


@given(st.binary(max_size=60), st.one_of(st.none(), st.text(max_size=4)))
def test_any_bytes_are_read_or_refused(body: bytes, header: str | None) -> None:
    try:
        read_request(body, header)
    except ProtocolError:
        return


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_message_is_read_or_refused(at: int, value: int) -> None:
    message = write_request({"x": np.arange(4, dtype=np.int32), "s": np.array(["ab", "c"], dtype=object)})
    body = bytearray(message.body)
    body[at % len(body)] = value
    try:
        read_request(bytes(body), message.headers[HEADER_LENGTH])
    except ProtocolError:
        return
