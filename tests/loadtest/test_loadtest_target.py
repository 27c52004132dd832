"""Which server and which model an address means."""

from __future__ import annotations

import pytest

from mlopt.core.errors import UserError
from mlopt.formats.model import TensorSpec
from mlopt.loadtest.target import InferTarget, inputs_of, is_url, parsed


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("http://h:8000", "m", InferTarget("http://h:8000", "m")),
        ("http://h:8000/", "m", InferTarget("http://h:8000", "m")),
        ("http://h:8000/v2", "m", InferTarget("http://h:8000", "m")),
        ("http://h:8000/v2/models/n", None, InferTarget("http://h:8000", "n")),
        ("http://h:8000/v2/models/n/infer", "m", InferTarget("http://h:8000", "n")),
        ("https://h/p/v2/models/a%20b/versions/3", None, InferTarget("https://h/p", "a b", "3")),
        ("http://[::1]:8000/v2/models/n", None, InferTarget("http://[::1]:8000", "n")),
    ],
)
def test_an_address_names_server_model_and_version(text: str, model: str | None, expected: InferTarget) -> None:
    assert parsed(text, model) == expected


@pytest.mark.parametrize("text", ["ftp://h", "http://", "http://u:p@h", "http://h:x", "http://h?x=1", "words"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no address"):
        parsed(text, "m")


def test_an_address_without_a_model_says_how_to_name_it() -> None:
    with pytest.raises(UserError, match="which model") as caught:
        parsed("http://h:8000", None)
    assert "--model NAME" in str(caught.value)


def test_an_address_is_told_from_a_folder() -> None:
    assert is_url("https://h")
    assert not is_url("artifacts/http")


def test_the_addresses_of_the_protocol() -> None:
    found = InferTarget("http://h", "a/b", "3")
    assert found.infer_url == "http://h/v2/models/a%2Fb/versions/3/infer"
    assert found.ready_url == "http://h/v2/models/a%2Fb/versions/3/ready"
    assert InferTarget("http://h", "m").model_url == "http://h/v2/models/m"


def test_metadata_describe_the_inputs() -> None:
    inputs = [
        {"name": "ids", "datatype": "INT64", "shape": [-1, 128]}, {"name": "t", "datatype": "BYTES", "shape": ["2", -1]}
    ]  # fmt: skip
    assert inputs_of({"inputs": inputs}, "here") == (
        TensorSpec("ids", "int64", ("batch", 128)), TensorSpec("t", "string", (2, "size_1")),
    )  # fmt: skip


@pytest.mark.parametrize(
    "metadata",
    [None, [], {}, {"inputs": []}, {"inputs": [3]}, {"inputs": [{"name": "x"}]},
     {"inputs": [{"name": "x", "datatype": "FP8", "shape": [1]}]},
     {"inputs": [{"name": "x", "datatype": "FP32", "shape": ["?"]}]}],
)  # fmt: skip
def test_metadata_that_describe_nothing_are_refused(metadata: object) -> None:
    with pytest.raises(UserError, match="do not say what the model takes") as caught:
        inputs_of(metadata, "http://h")
    assert "--artifact" in str(caught.value)
