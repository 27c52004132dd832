"""The protocol's code goes along as one module that needs no mlopt, and says the same as mlopt's own."""

from __future__ import annotations

import ast
import sys
import types

import numpy as np
import pytest

from mlopt.deploy import vendored
from mlopt.protocol import messages


@pytest.fixture
def copy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module as it is written."""
    made = types.ModuleType("open_inference")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec(compile(vendored.open_inference(), "open_inference.py", "exec", dont_inherit=True), vars(made))
    return made


def test_it_imports_nothing_of_mlopt() -> None:
    tree = ast.parse(vendored.open_inference())
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    assert imported == {
        "__future__", "collections.abc", "dataclasses", "json", "math", "numpy", "numpy.typing", "struct", "typing",
    }  # fmt: skip


@pytest.mark.parametrize("binary", [True, False])
def test_it_reads_what_mlopt_writes(binary: bool, copy: types.ModuleType) -> None:
    fed = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "text": np.array(["a", "é"], dtype=object)}
    message = messages.write_request(fed, id_="7", binary=binary)
    asked = copy.read_request(message.body, message.headers.get(messages.HEADER_LENGTH))
    assert asked.id == "7"
    assert all(np.array_equal(asked.inputs[name], fed[name]) for name in fed)
    answer = copy.write_answer(copy.InferAnswer({"y": fed["x"]}, "m", "1", "7", {"digest": "d"}), asked.binary)
    read = messages.read_answer(answer.body, answer.headers.get(messages.HEADER_LENGTH))
    assert read.parameters == {"digest": "d"}
    assert np.array_equal(read.outputs["y"], fed["x"])


def test_its_errors_say_what_was_found_and_expected(copy: types.ModuleType) -> None:
    with pytest.raises(copy.UserError, match="the message is not JSON; got: "):
        copy.read_request(b"{")
