"""Each layer's own INT8 constants: what the exact mode needs, and what the graph computes stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from deployables import in_runtime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.hardware import Hardware
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.onnx.graph import nodes as every_node
from mlopt.formats.onnx.int8_constants import for_exact_mode, own_zero_points
from mlopt.runtimes import exact
from mlopt.runtimes.table import open_session

node, value = helper.make_node, helper.make_tensor_value_info
X = np.random.default_rng(0).uniform(0, 1, (3, 16)).astype(np.float32)
CODES = np.full((16, 16), 127, np.int8)


def layers(path: Path, *, of_one: str = "", zeros: bool = True, constants: bool = False, ir: int = 8) -> Path:
    """Two products; ``of_one`` names the constants (w, z) that both read, or is "dequantize"."""
    whole = of_one == "dequantize"
    weight, zero = ("w0" if whole or "w" in of_one else "w1"), ("z0" if whole or "z" in of_one else "z1")
    arrays: dict[str, Any] = {
        "s": np.float32(1 / 255), "u": np.uint8(0), "w0": CODES, "w1": CODES - 1, "ws": np.full(16, 0.01, np.float32),
        "z0": np.zeros(16, np.int8), "z1": np.zeros(16, np.int8),
    }  # fmt: skip
    places = 3 if zeros else 2
    made = [
        node("QuantizeLinear", ["x", "s", "u"], ["q"]), node("DequantizeLinear", ["q", "s", "u"], ["d"]),
        node("DequantizeLinear", ["w0", "ws", "z0"][:places], ["d0"], name="first", axis=1),
        *([] if whole else [node("DequantizeLinear", [weight, "ws", zero][:places], ["d1"], axis=1)]),
        node("MatMul", ["d", "d0"], ["a"]), node("MatMul", ["d", "d0" if whole else "d1"], ["b"]),
        node("Relu", ["b"], ["r"]), node("Sub", ["r", "a"], ["e"]), node("Add", ["e", "a"], ["y"]),
    ]  # fmt: skip
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    if constants:
        made = [*(node("Constant", [], [t.name], value=t) for t in tensors), *made]
    inputs = [value("x", TensorProto.FLOAT, ["n", 16])]
    inputs += [value(t.name, t.data_type, t.dims) for t in tensors] if ir == 3 else []
    graph = helper.make_graph(
        made, "g", inputs, [value("y", TensorProto.FLOAT, ["n", 16])], [] if constants else tensors
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir), path)
    return path


def run(model: Path | onnx.ModelProto) -> NDArray[Any]:
    given = model if isinstance(model, Path) else model.SerializeToString()
    return np.asarray(onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0])


def read_twice(graph: onnx.GraphProto) -> set[str]:
    """Return the INT8 constants that two nodes read, and the dequantized ones."""
    codes = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.INT8}
    codes |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
    floats = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in codes}
    reads = [name for each in every_node(graph) for name in each.input if name in codes | floats]
    return {name for name in reads if reads.count(name) > 1 and name not in {"s", "u", "ws"}}


@pytest.mark.parametrize("constants", [False, True])
@pytest.mark.parametrize("of_one", ["z", "w", "wz", "dequantize"])
def test_every_layer_reads_constants_of_its_own(tmp_path: Path, of_one: str, constants: bool) -> None:
    path = layers(tmp_path / "m.onnx", of_one=of_one, constants=constants)
    made = for_exact_mode(path)
    assert made is not None
    onnx.checker.check_model(made, full_check=True)
    assert read_twice(made.graph) == set()
    np.testing.assert_array_equal(run(made), run(path))


def test_scales_per_channel_get_zero_points(tmp_path: Path) -> None:
    path = layers(tmp_path / "m.onnx", zeros=False)
    made = for_exact_mode(path)
    assert made is not None
    weights = [n for n in made.graph.node if n.op_type == "DequantizeLinear" and n.input[0].startswith("w")]
    assert [len(n.input) for n in weights] == [3, 3]
    assert read_twice(made.graph) == set()
    np.testing.assert_array_equal(run(made), run(path))


def test_what_shares_nothing_is_opened_as_it_is(tmp_path: Path) -> None:
    assert for_exact_mode(layers(tmp_path / "m.onnx")) is None


def test_at_ir_version_3_constants_are_no_longer_inputs(tmp_path: Path) -> None:
    path = layers(tmp_path / "m.onnx", of_one="z", ir=3)
    made = for_exact_mode(path)
    assert made is not None
    assert [each.name for each in made.graph.input] == ["x"]
    np.testing.assert_array_equal(run(made), run(path))


def test_layers_in_branches_have_their_own_too(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        result = value(f"{name}_y", TensorProto.INT32, None)
        return helper.make_graph([node("MatMulInteger", ["a", "w", "", "z"], [f"{name}_y"])], name, [], [result])

    outer = node("If", ["c"], ["y"], then_branch=branch("then"), else_branch=branch("else"))
    tensors = [numpy_helper.from_array(CODES, "w"), numpy_helper.from_array(np.zeros(16, np.int8), "z")]
    inputs = [value("a", TensorProto.UINT8, ["n", 16]), value("c", TensorProto.BOOL, [])]
    outputs = [value("y", TensorProto.INT32, ["n", 16])]
    graph = helper.make_graph([outer], "g", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    made = for_exact_mode(tmp_path / "m.onnx")
    assert made is not None
    onnx.checker.check_model(made)
    reads = [name for each in every_node(made.graph) for name in each.input[1:] if name]
    assert len(reads) == len(set(reads)) == 4


def test_zero_points_alone_are_separated_in_files(tmp_path: Path) -> None:
    """A weight that is read twice is stored once."""
    proto = onnx.load(layers(tmp_path / "m.onnx", of_one="wz"))
    size = sum(tensor.ByteSize() for tensor in proto.graph.initializer)
    assert own_zero_points(proto.graph)
    assert read_twice(proto.graph) == {"w0"}
    assert sum(tensor.ByteSize() for tensor in proto.graph.initializer) < size + 64
    assert not own_zero_points(proto.graph)
    np.testing.assert_array_equal(run(proto), run(tmp_path / "m.onnx"))


@pytest.fixture
def without_vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = Hardware(cpu="a CPU", architecture="x86_64", isa=("avx2", "fma"), cores=2, memory_bytes=8 << 30)
    monkeypatch.setattr(exact, "detect_cpu", lambda: cpu)


@pytest.mark.usefixtures("without_vnni")
def test_weights_in_another_file_stay_there(tmp_path: Path) -> None:
    path = layers(tmp_path / "m.onnx", of_one="wz")
    wanted, proto = run(path), onnx.load(path)
    graph = proto.graph
    wide = np.zeros((16, 128), np.int8)  # large enough to stay outside
    wide[:, :16] = CODES
    graph.initializer.remove(next(t for t in graph.initializer if t.name == "w0"))
    graph.initializer.append(numpy_helper.from_array(wide, "w0"))
    for tensor in graph.initializer:
        if tensor.name in {"ws", "z0"}:
            tensor.CopyFrom(numpy_helper.from_array(np.resize(numpy_helper.to_array(tensor), 128), tensor.name))
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = 128
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=1500)
    made = for_exact_mode(path)
    assert made is not None
    outside = {t.name: t.external_data[0].value for t in made.graph.initializer if t.external_data}
    assert outside == {"w0": "weights.bin", "w0_own": "weights.bin"}
    with open_session(in_runtime(open_onnx(path))) as session:
        np.testing.assert_array_equal(session.run({"x": X})["y"][:, :16], wanted)
