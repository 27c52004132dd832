"""The texts that a model knows, found in its graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlopt.data.vocabulary import known_words


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("city", "kind")]
    return helper.make_model(helper.make_graph(list(nodes), "g", inputs, []))


def node(kind: str, given: str, made: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, given.split(), made.split(), domain="ai.onnx.ml", **attributes)


TABLE = helper.make_tensor("keys", TensorProto.STRING, [2], [b"Rome", b"Oslo"])


@pytest.mark.parametrize(
    "held",
    [{"keys_strings": ["Rome", "Oslo"]}, {"cats_strings": ["Rome", "Oslo"]}, {"pool_strings": ["Rome", "Oslo"]},
     {"string_vocabulary": ["Rome", "Oslo"]}, {"keys_tensor": TABLE}],
    ids=lambda held: next(iter(held)),
)  # fmt: skip
def test_keys_are_found_in_every_form_behind_what_only_changes_the_text(held: dict[str, Any]) -> None:
    found = model(node("StringNormalizer", "city", "plain"), node("Encoder", "plain", "ids", **held))
    assert known_words(found, ("city", "kind")) == {"city": ("Rome", "Oslo")}


def test_an_input_that_is_looked_up_twice_knows_both_and_each_text_once() -> None:
    first = node("A", "city", "a", keys_strings=["Rome", "Oslo"])
    found = model(first, node("B", "city", "b", cats_strings=["Oslo", "Bern"]))
    assert known_words(found, ("city",)) == {"city": ("Rome", "Oslo", "Bern")}


def test_what_comes_after_a_look_up_is_no_word_of_the_input() -> None:
    found = model(node("A", "city", "ids", keys_strings=["Rome"]), node("B", "ids", "y", keys_strings=["label"]))
    assert known_words(found, ("city",)) == {"city": ("Rome",)}


def test_other_texts_of_a_node_are_not_keys_and_a_circle_ends() -> None:
    nodes = (node("A", "city b", "a", values_strings=["x"]), node("B", "a", "b"), node("C", "b", "b"))
    assert known_words(model(*nodes), ("city",)) == {}


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    odd = node("A", "kind", "y")
    odd.attribute.append(helper.make_attribute("keys_strings", [b"\xff", b"a"]))
    odd.attribute.append(helper.make_attribute("keys_tensor", onnx.numpy_helper.from_array(np.zeros(3, np.float32))))
    assert known_words(model(odd), ("kind",)) == {"kind": ("\ufffd", "a")}
