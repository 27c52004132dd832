"""Multiplications of an inference, from shapes alone: what is not known is never counted as nothing."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from mlopt.core.errors import UserError
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.macs import UnknownError, count_macs, input_shapes

FLOAT, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
Shape = list[int | str]
value = helper.make_tensor_value_info


def tensor(name: str, *dims: int, kind: int = FLOAT) -> onnx.TensorProto:
    """Return a weight of which only the shape is known: nobody needs its values."""
    return TensorProto(name=name, dims=dims, data_type=kind)


def node(kind: str, given: str, made: str = "y", **attributes: Any) -> onnx.NodeProto:
    names = [name.strip("-") for name in given.split()]
    return helper.make_node(kind, names, made.split(), name=f"the {kind}", **attributes)


def model(
    nodes: list[onnx.NodeProto], shape: Shape, *held: onnx.TensorProto, kind: int = FLOAT, made: int = FLOAT
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [value("x", kind, shape)], [value("y", made, None)], list(held))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def counted(proto: onnx.ModelProto, shape: Shape, **given: tuple[int, ...]) -> int:
    inputs = (TensorSpec("x", "float32", tuple(shape)),)
    return count_macs(proto, inputs, input_shapes(inputs, given))


SCALE, ZERO = tensor("s"), tensor("z", kind=UINT8)
FUSED: dict[str, tuple[onnx.NodeProto, Shape, tuple[onnx.TensorProto, ...], int]] = {
    "QLinearConv": (
        node("QLinearConv", "x s z w s z s z", pads=[1, 1, 1, 1]), ["n", 2, 5, 5],
        (tensor("w", 4, 2, 3, 3, kind=UINT8), SCALE, ZERO), 4 * 25 * 2 * 9,
    ),
    "ConvInteger": (node("ConvInteger", "x w"), ["n", 2, 5, 5], (tensor("w", 4, 2, 3, 3, kind=UINT8),), 4 * 9 * 2 * 9),
    "QLinearMatMul": (
        node("QLinearMatMul", "x s z w s z s z"), ["n", 3, 6], (tensor("w", 6, 7, kind=UINT8), SCALE, ZERO), 3 * 7 * 6,
    ),
    "MatMulInteger": (node("MatMulInteger", "x w"), ["n", 6], (tensor("w", 6, 7, kind=UINT8),), 7 * 6),
    "QGemm": (
        node("QGemm", "x s z w s z", domain="com.microsoft", transB=1), ["n", 6],
        (tensor("w", 7, 6, kind=UINT8), SCALE, ZERO), 7 * 6,
    ),
    "DynamicQuantizeMatMul": (
        node("DynamicQuantizeMatMul", "x w s", domain="com.microsoft"), ["n", 6],
        (tensor("w", 6, 7, kind=INT8), SCALE), 7 * 6,
    ),
    "FusedMatMul": (
        node("FusedMatMul", "x w", domain="com.microsoft", transA=0), ["n", 3, 6], (tensor("w", 6, 7),), 3 * 7 * 6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_fused_and_quantized_operators_cost_what_they_stand_for(name: str) -> None:
    made, shape, held, macs = FUSED[name]
    kind = UINT8 if "w" in made.input and any(each.data_type == UINT8 for each in held) else FLOAT
    result = TensorProto.INT32 if name.endswith("Integer") else kind
    proto = model([made], shape, *held, kind=kind, made=result)
    before = proto.SerializeToString()
    assert counted(proto, shape) == macs
    assert proto.SerializeToString() == before


def test_what_a_layer_costs_behind_a_fused_one_is_known() -> None:
    nodes = [node("FastGelu", "x", "h", domain="com.microsoft"), node("MatMul", "h w")]
    assert counted(model(nodes, ["n", 6], tensor("w", 6, 7)), ["n", 6]) == 6 * 7


def looped(*body: onnx.NodeProto) -> onnx.NodeProto:
    inside = helper.make_graph(
        [*body, node("Identity", "c", "co")], "b",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", FLOAT, [4, 4])],
        [value("co", TensorProto.BOOL, []), value("vo", FLOAT, [4, 4])],
    )  # fmt: skip
    return node("Loop", "- - x", body=inside)


UNKNOWN: dict[str, tuple[list[onnx.NodeProto], str]] = {
    "a product in a loop": ([looped(node("MatMul", "v v", "vo"))], "how often node 'the Loop' .Loop. repeats its body"),
    "an operator of somebody's own": ([node("Magic", "x", domain="own")], "cost of node 'the Magic'"),
    "an operator without a rule": ([node("Einsum", "x x", equation="ij,jk->ik")], "cost of node 'the Einsum'"),
    "a shape that only a run tells": (
        [node("NonZero", "x", "i"), node("Cast", "i", "f", to=1), node("MatMul", "f x")],
        "the shape of '.*', of node 'the MatMul' .MatMul., cannot be inferred",
    ),
    "transposed on the way": (
        [node("FusedMatMul", "x x", domain="com.microsoft", transB=1)], "cost of node 'the FusedMatMul'",
    ),
    "an input that is not there": ([node("MatMul", "x nowhere")], "cannot be inferred|shape inference fails"),
    "no inputs at all": ([node("Conv", "")], "cannot be inferred|shape inference fails"),
    "shapes that do not fit": ([node("Reshape", "x x", "h"), node("MatMul", "h x")], "inferr|shape inference fails"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_said_with_its_reason(name: str) -> None:
    nodes, reason = UNKNOWN[name]
    with pytest.raises(UnknownError, match=reason):
        counted(model(nodes, [4, 4]), [4, 4])


def test_a_loop_that_multiplies_nothing_costs_nothing() -> None:
    assert counted(model([looped(node("Neg", "v", "vo"))], [4, 4]), [4, 4]) == 0


def test_two_inputs_of_one_name_are_not_known() -> None:
    proto = model([node("MatMul", "x w")], ["n", 6], tensor("w", 6, 7))
    proto.graph.input.append(value("x", FLOAT, [1, 2, 3]))
    with pytest.raises(UnknownError, match="two inputs are called 'x'"):
        counted(proto, ["n", 6])


def test_sizes_that_the_file_names_alike_are_alike_and_stale_ones_do_not_count() -> None:
    proto = model([node("Mystery", "x", "h", domain="own"), node("MatMul", "h w")], ["n", 6], tensor("w", 6, 7))
    proto.graph.value_info.append(value("h", FLOAT, ["n", 6]))
    del proto.graph.node[0]
    assert counted(proto, ["n", 6], x=(5, 6)) == 5 * 6 * 7
    proto.graph.value_info[0].type.tensor_type.shape.dim[0].dim_param = "m"
    with pytest.raises(UnknownError, match="cannot be inferred"):
        counted(proto, ["n", 6], x=(5, 6))


IDS, MASK = TensorSpec("ids", "int64", ("n", "t")), TensorSpec("mask", "int64", ("n", "t", 2))


def test_a_free_size_is_1_and_shared_by_name() -> None:
    assert input_shapes((IDS, MASK), {}) == {"ids": (1, 1), "mask": (1, 1, 2)}
    assert input_shapes((IDS, MASK), {"mask": (3, 7, 2)}) == {"ids": (3, 7), "mask": (3, 7, 2)}


def test_every_shape_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        input_shapes((IDS, MASK), {"idz": (1, 1), "mask": (3, 7, 4), "ids": (3,), "zzz": (1,)})
    problems = caught.value.problems
    assert [problem.fix for problem in problems] == [
        "did you mean 'ids'?", "only dynamic dimensions are free", "only dynamic dimensions are free",
        "name one of the model's inputs",
    ]  # fmt: skip
    assert (problems[1].got, problems[1].expected) == ("mask: [3, 7, 4]", "mask: int64[n, t, 2]")
