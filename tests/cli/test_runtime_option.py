"""``--runtime``: what is read, what becomes of it in a recipe, and what a misspelt name is answered."""

from __future__ import annotations

import pytest
import typer

from mlopt.cli.runtime_option import names_in, with_runtime
from mlopt.core.errors import UserError
from mlopt.recipe.yaml_reader import read_text


def test_names_are_read_once_each_and_in_order() -> None:
    assert names_in(" openvino,onnxruntime, openvino") == ("openvino", "onnxruntime")
    assert names_in("") == ()


def test_it_is_the_override_of_the_target() -> None:
    assert with_runtime(["a=1"], "openvino") == ("a=1", "target.runtime=openvino")
    assert with_runtime(None, "auto") == ("target.runtime=auto",)
    assert with_runtime(["a=1"], "") == ("a=1",)
    (several,) = with_runtime(None, "openvino,torch")
    assert read_text(several.partition("=")[2], "VALUE").data == ["openvino", "torch"]


def test_each_name_that_is_not_known_is_told_with_the_one_that_is_meant() -> None:
    with pytest.raises(UserError, match="there is no such runtime here") as error:
        names_in("opnvino,onnxruntime,xyz")
    assert [(each.where, each.fix) for each in error.value.problems] == [
        ("--runtime opnvino", "did you mean 'openvino'?"), ("--runtime xyz", "`mlopt runtimes` lists them"),
    ]  # fmt: skip
    assert "auto" not in str(error.value)


@pytest.mark.parametrize("text", ["openvino,", ",", "auto,openvino"])
def test_what_is_no_list_of_names_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        with_runtime(None, text)


def test_threads_are_those_of_the_target() -> None:
    assert with_runtime(["a=1"], "", 3) == ("a=1", "target.threads=3")
    assert with_runtime(None, "onnxruntime", 2) == ("target.runtime=onnxruntime", "target.threads=2")
