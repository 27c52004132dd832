"""What the inspector tells of layers, in the forms that its documentation shows."""

from __future__ import annotations

from typing import Any

import pytest

from mlopt.runtimes.tensorrt_layers import computed_in, read_layer


def told(kind: str, datatype: str, **more: Any) -> dict[str, Any]:
    tensor = {"Name": "x", "Dimensions": [1, 8], "Format/Datatype": datatype}
    return {"Name": "a layer", "LayerType": kind, "Inputs": [tensor], "Outputs": [], **more}


@pytest.mark.parametrize(("datatype", "precision"), [
    ("Row major linear FP32", "fp32"), ("Row major linear FP16 format", "fp16"), ("Half", "fp16"), ("Float", "fp32"),
    ("Thirty-two wide channel vectorized row major Int8 format", "int8"), ("Int8", "int8"), ("Int64", "Int64"),
])  # fmt: skip
def test_a_layer_computes_in_what_it_is_fed_with(datatype: str, precision: str) -> None:
    assert read_layer(told("CaskConvolution", datatype)).precision == precision


def test_a_name_alone_is_all_that_is_known() -> None:
    assert read_layer("conv1 + relu").name == "conv1 + relu"
    assert computed_in([read_layer("conv1 + relu")]) is None


def test_shares_are_of_layers_that_compute() -> None:
    layers = [
        read_layer(told("CaskConvolution", "Int8")), read_layer(told("CaskGemmConvolution", "Half")),
        read_layer(told("Reformat", "Float")), read_layer(told("kgen", "Half", TacticName="gemm_kernel")),
        read_layer(told("Scale", "Float", ParameterType="Convolution")),
    ]  # fmt: skip
    assert computed_in(layers) == {"int8": 0.25, "fp16": 0.5, "fp32": 0.25}
