"""Of which models engines are built, and in what they compute."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorrt_graphs import product, quantized

from mlopt.core.errors import PassError
from mlopt.formats.model import Model
from mlopt.formats.tensorrt import Precision
from mlopt.passes.building.forms import beside, own


def itself(model: Model) -> Model:
    return model


def test_a_model_is_called_after_the_least_precision_that_it_has(tmp_path: Path) -> None:
    assert own(product(tmp_path / "m.onnx")).precision == "fp32"
    assert own(quantized(tmp_path / "q.onnx")).precision == "int8"


def test_beside_stands_what_was_there_before_and_its_conversion(tmp_path: Path) -> None:
    whole, other, int8 = product(tmp_path / "m.onnx"), product(tmp_path / "n.onnx", 2), quantized(tmp_path / "q.onnx")
    full, half = beside(int8, ("fp32", "fp16", "fp32"), whole, lambda _model: other)
    assert (full.precision, full.model) == ("fp32", whole)
    assert (half.precision, half.model) == ("fp16", other)


def test_of_a_model_that_no_step_quantized_it_is_the_model_itself(tmp_path: Path) -> None:
    whole = product(tmp_path / "m.onnx")
    (half,) = beside(whole, ("fp32", "fp16"), None, itself)
    assert (half.precision, half.model) == ("fp16", whole)


@pytest.mark.parametrize("wanted", ["fp32", "fp16"])
def test_of_a_model_that_came_quantized_there_is_none(tmp_path: Path, wanted: Precision) -> None:
    with pytest.raises(PassError, match="no model in fp32"):
        list(beside(quantized(tmp_path / "q.onnx"), (wanted,), None, itself))
