"""Which weights have two zeros in every four inputs, wherever those lie, and whatever stands for zero."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mlopt.formats.onnx.two_of_four import two_of_four

NODE = helper.make_node
ROWS = np.array([[1, 0, 0, 2], [0, 3, 4, 0], [5, 0, 6, 0]], np.float32)
"""[outputs, inputs]"""
DENSE = np.where(np.arange(12).reshape(3, 4) == 5, 7, 1) * np.float32(1)


def found(node: onnx.NodeProto, *before: onnx.NodeProto, **constants: np.ndarray) -> bool | None:
    graph = helper.make_graph(
        [*before, node], "g", [], [], [numpy_helper.from_array(value, name) for name, value in constants.items()]
    )
    return two_of_four(graph, Path()).get(node.name or f"{node.op_type}_{len(before)}")


@pytest.mark.parametrize(("rows", "holds"), [(ROWS, True), (DENSE, False)])
def test_the_inputs_lie_where_the_operator_has_them(rows: np.ndarray, holds: bool) -> None:
    assert found(NODE("Gemm", ["x", "w"], ["y"], transB=1), w=rows) is holds
    assert found(NODE("Gemm", ["x", "w"], ["y"]), w=rows.T.copy()) is holds
    assert found(NODE("MatMul", ["x", "w"], ["y"]), w=rows.T.copy()) is holds
    assert found(NODE("MatMul", ["x", "w"], ["y"]), w=np.stack([rows.T, rows.T])) is holds
    assert found(NODE("Conv", ["x", "w"], ["y"]), w=rows.reshape(3, 4, 1, 1)) is holds
    assert found(NODE("MatMul", ["x", "t"], ["y"]), NODE("Transpose", ["w"], ["t"], perm=[1, 0]), w=rows) is holds


def test_of_integers_the_zero_point_is_zero() -> None:
    codes = (ROWS + 9).astype(np.uint8)
    nine, none = np.array(9, np.uint8), np.array(0, np.uint8)
    assert found(NODE("MatMulInteger", ["x", "w", "", "z"], ["y"]), w=codes.T.copy(), z=nine) is True
    assert found(NODE("MatMulInteger", ["x", "w", "", "z"], ["y"]), w=codes.T.copy(), z=none) is False
    read = NODE("DequantizeLinear", ["w", "s", "z"], ["d"])
    scale = np.array(0.5, np.float32)
    assert found(NODE("Gemm", ["x", "d"], ["y"], transB=1), read, w=codes, z=nine, s=scale) is True
    assert found(NODE("Gemm", ["x", "d"], ["y"], transB=1), read, w=codes, z=none, s=scale) is False
    plain = NODE("DequantizeLinear", ["w", "s"], ["d"])
    assert found(NODE("Gemm", ["x", "d"], ["y"], transB=1), plain, w=ROWS.astype(np.int8), s=scale) is True


def test_each_channel_may_have_a_zero_point_of_its_own() -> None:
    points = np.array([1, 2, 3], np.uint8)
    codes = (ROWS + points[:, None]).astype(np.uint8)
    read = NODE("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0)
    scales = np.ones(3, np.float32)
    assert found(NODE("Gemm", ["x", "d"], ["y"], transB=1), read, w=codes, z=points, s=scales) is True
    other = points[::-1].copy()
    assert found(NODE("Gemm", ["x", "d"], ["y"], transB=1), read, w=codes, z=other, s=scales) is False
    assert found(NODE("MatMulInteger", ["x", "w", "", "z"], ["y"]), w=codes.T.copy(), z=points) is True


def test_what_cannot_have_it_or_is_not_known_is_not_judged() -> None:
    assert found(NODE("MatMul", ["x", "w"], ["y"]), w=np.zeros((6, 3), np.float32)) is None
    assert found(NODE("MatMul", ["x", "w"], ["y"]), w=np.zeros(4, np.float32)) is None
    assert found(NODE("MatMul", ["x", "computed"], ["y"])) is None
    assert found(NODE("MatMul", ["x", "r"], ["y"]), NODE("Reshape", ["w", "n"], ["r"]), w=ROWS.T.copy()) is None
    assert found(NODE("ConvTranspose", ["x", "w"], ["y"]), w=np.zeros((4, 4, 1, 1), np.float32)) is None


def test_a_file_whose_parts_do_not_fit_is_not_judged() -> None:
    scale = np.array(0.5, np.float32)
    read = NODE("DequantizeLinear", ["w", "s", "z"], ["d"], axis=7)
    points = np.array([1, 2, 3], np.uint8)
    assert found(NODE("Gemm", ["x", "d"], ["y"]), read, w=ROWS.astype(np.uint8), z=points, s=scale) is None
    assert found(NODE("Gemm", ["x", "d"], ["y"]), read, w=ROWS.astype(np.uint8), z=points[:0], s=scale) is None
    turned = NODE("Transpose", ["w"], ["t"], perm=[0, 3])
    assert found(NODE("MatMul", ["x", "t"], ["y"]), turned, w=ROWS) is None


def test_a_weight_in_another_file_is_read(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.tile(ROWS, (400, 1)).T.copy(), "w")
    graph = helper.make_graph([NODE("MatMul", ["x", "w"], ["y"], name="m")], "g", [], [], [weight])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="w.bin", size_threshold=1)
    outside = onnx.load(path, load_external_data=False)
    assert two_of_four(outside.graph, tmp_path) == {"m": True}
