"""What is in a model is counted without loading or running it, and what is not known is not called nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from inspected_models import one_node, partly_quantized
from onnx import helper, numpy_helper
from quantization_models import branching, encoder

from mlopt.artifact.inspection import Precision, inspect_model, model_at, shapes_of
from mlopt.core.errors import DataError, ModelError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return partly_quantized(tmp_path / "model.onnx")


def test_what_is_in_the_model_is_counted(model: Path) -> None:
    found = inspect_model(model)
    assert (found.opset, found.domains, found.producer) == (17, {"com.microsoft": 1}, "a test")
    assert found.operators == {"DequantizeLinear": 2, "Conv": 1, "MatMul": 1, "QuantizeLinear": 1, "Reshape": 1}
    assert found.parameters == 8 * 27 + 2048 + 2 + 2
    assert found.weights == {"int8": 2049, "float32": 8 * 27 * 4 + 4, "int64": 16}
    assert found.values == {"int8": 2049, "float32": 8 * 27 + 1, "int64": 2}
    assert found.precision == Precision(integers=("MatMul_5",), weight_only=(), floats=("Conv_0",), activations=1)
    assert (found.macs, found.macs_reason) == (8 * 8 * 8 * 27 + 512 * 4, None)


def test_a_well_known_network_has_its_published_cost() -> None:
    light = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    assert inspect_model(light).macs == pytest.approx(4.09e9, rel=0.01)


def test_external_data_counts_and_need_not_be_read(model: Path, tmp_path: Path) -> None:
    inside = inspect_model(model)
    outside = tmp_path / "outside.onnx"
    onnx.save(onnx.load(model), outside, save_as_external_data=True, location="weights.bin", size_threshold=1000)
    found = inspect_model(outside)
    assert found.external_files == ("weights.bin",)
    assert (found.parameters, found.weights, found.macs) == (inside.parameters, inside.weights, inside.macs)


NODE = helper.make_node


@pytest.mark.parametrize(
    ("node", "weights", "shape", "macs"),
    [
        (NODE("Conv", ["x", "w"], ["y"], group=4, pads=[1, 1, 1, 1]), {"w": (8, 1, 3, 3)}, ["n", 4, 6, 6], 36 * 8 * 9),
        (NODE("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), {"w": (4, 5, 2, 2)}, ["n", 4, 6, 6], 4 * 36 * 20),
        (NODE("Gemm", ["x", "w"], ["y"], transA=1), {"w": (3, 7)}, [3, 5], 5 * 7 * 3),
        (NODE("MatMul", ["x", "w"], ["y"]), {"w": (2, 6, 7)}, ["n", 2, 5, 6], 2 * 5 * 6 * 7),
        (NODE("MatMul", ["x", "x"], ["y"]), {}, [3, 4, 4], 3 * 4 * 4 * 4),
        (
            NODE("LSTM", ["x", "w", "r"], ["y"], hidden_size=3), {"w": (1, 12, 5), "r": (1, 12, 3)}, [9, 2, 5],
            9 * 2 * 12 * (5 + 3),
        ),
        (
            NODE("GRU", ["x", "w", "r"], ["y"], hidden_size=3), {"w": (1, 9, 5), "r": (1, 9, 3)}, ["n", 2, 5],
            2 * 9 * (5 + 3),
        ),
        (
            NODE("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Relu"), {"w": (2, 4, 1, 1)},
            ["n", 4, 6, 6], 36 * 2 * 4,
        ),
        (NODE("Relu", ["x"], ["y"]), {}, ["n", 4], 0),
    ],
)  # fmt: skip
def test_multiplications_are_counted(
    tmp_path: Path, node: onnx.NodeProto, weights: dict[str, tuple[int, ...]], shape: list[int | str], macs: int
) -> None:
    found = inspect_model(one_node(tmp_path / "m.onnx", node, weights, shape))
    assert (found.macs, found.macs_reason) == (macs, None)


def test_weights_of_four_bits_count_one_by_one(tmp_path: Path) -> None:
    inputs = ["x", "w", "s"]
    node = NODE("MatMulNBits", inputs, ["y"], domain="com.microsoft", K=64, N=8, bits=4, block_size=32)
    path = one_node(tmp_path / "m.onnx", node, {"s": (16,)}, ["n", 5, 64])
    proto = onnx.load(path)
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 2, 16), np.uint8), "w"))
    onnx.save(proto, path)
    found = inspect_model(path)
    assert found.values == {"uint4": 512, "float32": 16}
    assert found.weights == {"uint8": 256, "float32": 64}
    assert found.precision.weight_only == ("MatMulNBits_0",)
    assert found.macs == 5 * 64 * 8


def test_of_two_branches_the_larger_one_counts(tmp_path: Path) -> None:
    assert inspect_model(branching(tmp_path / "m.onnx")).macs == 4 * 4 * 4 * 3 + 4 * 4 * 4 * 4


def test_a_folder_that_is_no_artifact_is_no_model(model: Path) -> None:
    with pytest.raises(ModelError, match=r"this folder is no artifact: it has no mlopt\.json") as error:
        model_at(model.parent)
    assert f"name the model in it: {model}" in str(error.value)


def test_the_shapes_of_a_sample_are_those_that_the_model_takes(tmp_path: Path) -> None:
    path = encoder(tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", ids=np.zeros((9, 7), np.int64), offset=np.zeros((9, 7, 16), np.float32))
    assert shapes_of(path, tmp_path / "d.npz") == {"ids": (1, 7), "offset": (1, 7, 16)}
    np.savez(tmp_path / "other.npz", ids=np.zeros((9, 7), np.int64))
    with pytest.raises(DataError):
        shapes_of(path, tmp_path / "other.npz")
