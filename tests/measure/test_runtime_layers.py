"""Layers, summed up: what counts as computing, as computing in floats, and as fused into nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployables import in_runtime
from openvino_models import in_openvino, needed
from quantization_models import cnn

from mlopt.core.errors import UserError
from mlopt.formats.model import TORCH, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.runtime_layers import LayerCount, computed_in, runtime_layers, summed_up
from mlopt.results.timing import Layer

NODES = {"conv": "Conv", "relu": "Relu", "add": "Add", "size": "Mul", "q": "QuantizeLinear"}
CNN = {"first": "Conv", "r1": "Relu", "second": "Conv", "r2": "Relu", "p": "GlobalAveragePool", "head": "Gemm"}


def layer(op_type: str, precision: str, *made_of: str, kernel: str = "") -> Layer:
    return Layer("its own name", op_type, precision, kernel, made_of)


def test_layers_are_counted_by_operator_and_precision_the_most_first() -> None:
    found = summed_up("x", [layer("Add", "f32"), layer("Conv", "u8"), layer("Conv", "u8"), layer("Conv", "f32")], {})
    assert found.counts == (LayerCount("Conv", "u8", 2), LayerCount("Add", "f32", 1), LayerCount("Conv", "f32", 1))
    assert (found.layers, found.computing) == (4, 3)


@pytest.mark.parametrize(
    "operator",
    ["Conv", "QLinearConv", "ConvInteger", "FusedConv", "ConvTranspose", "MatMul", "MatMulNBits",
     "MatMulIntegerToFloat",
     "FusedMatMul", "Gemm", "QGemm", "LSTM", "DynamicQuantizeLSTM", "GRU", "Attention", "QAttention", "Convolution",
     "Deconvolution", "FullyConnected", "LSTMSequence", "DynamicQuantizeMatMul", "MultiHeadAttention"],
)  # fmt: skip
def test_what_multiplies_matrices_is_computing(operator: str) -> None:
    assert summed_up("x", [layer(operator, "u8")], {}).computing == 1


@pytest.mark.parametrize("operator", ["Convert", "Concat", "Reshape", "QLinearAdd", "ReorderOutput", "Reorder", "Add"])
def test_the_rest_is_not(operator: str) -> None:
    found = summed_up("x", [layer(operator, "f32")], {})
    assert (found.computing, found.floats) == (0, ())


def test_computing_layers_in_floats_are_called_as_the_model_calls_them() -> None:
    found = [
        layer("Convolution", "f32", "Multiply_1", "relu", "conv"), layer("Conv", "u8", "conv"),
        layer("Gemm", "bf16", "unknown"), layer("Convolution", "f16", "q"),
        layer("FullyConnected", "f32", "add/conv/WithoutBiases", "q"), layer("MatMul", "f32", "conv/A/B", "add"),
    ]  # fmt: skip
    assert summed_up("x", found, NODES).floats == ("conv", "its own name", "q", "add", "conv")


def test_a_kernel_of_floats_computes_in_floats_whatever_it_reads() -> None:
    read = layer("Convolution", "i8", "conv", kernel="brgconv_avx512_f32")
    assert computed_in(read) == "f32"
    assert computed_in(layer("Convolution", "u8", kernel="brgconv_avx512_amx_I8")) == "u8"
    assert computed_in(layer("Convolution", "bf16", kernel="jit_f32")) == "bf16"
    assert summed_up("x", [read], NODES).floats == ("conv",)


@pytest.mark.parametrize(
    ("one", "alone"),
    [
        (layer("Add", "f32", "add"), True),
        (layer("Eltwise", "u8", "add"), True),
        (layer("Eltwise", "f32", "conv"), False),
        (layer("QLinearAdd", "u8", "add"), False),
        (layer("Add", "f32", "add", "relu"), False),
        (layer("Add", "f32"), False),
        (layer("Eltwise", "f32", "Multiply_1"), False),
        (layer("Mul", "i64", "size"), False),
        (layer("FusedConv", "f32", "conv", "relu"), False),
    ],
)
def test_one_elementwise_node_of_the_model_alone_is_fused_into_nothing(one: Layer, alone: bool) -> None:
    assert summed_up("x", [one], NODES).alone == (one.made_of if alone else ())


@pytest.mark.process
def test_onnxruntime_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = runtime_layers(in_runtime(open_onnx(cnn(tmp_path / "m.onnx"))), CNN)
    assert (found.runtime, found.computing, found.alone) == ("onnxruntime", 3, ())
    assert set(found.floats) == {"first", "second", "head"}


@needed
@pytest.mark.process
def test_openvino_is_asked_likewise(tmp_path: Path) -> None:
    found = runtime_layers(in_openvino(open_onnx(cnn(tmp_path / "m.onnx"))), CNN)
    assert (found.runtime, found.computing, found.alone) == ("openvino", 3, ())
    assert {"first", "second"} < set(found.floats)


def test_a_runtime_that_does_not_tell_is_named_with_those_that_do(tmp_path: Path) -> None:
    module = Model(kind=TORCH, path=tmp_path, digest="0" * 64, inputs=(), outputs=(), files=())
    with pytest.raises(UserError, match="the runtime 'torch' does not tell what it makes of a model") as caught:
        runtime_layers(in_runtime(module), {})
    assert "onnxruntime, openvino" in str(caught.value.problems[0].expected)
