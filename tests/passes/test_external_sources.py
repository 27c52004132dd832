"""Sources whose weights stand in other files: every pass reads all of them, and writes files that stand alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pass_runs import applied, outputs_of, run_pass

from mlopt.compress.quantization import graph as quantization_graph
from mlopt.core.target import Objective
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx.external_data import tensors
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.table import table

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((16, 64)).astype(np.float32)
PLACES: dict[str, Callable[[int], str | None]] = {
    "one_file": lambda _: "m.onnx.data",
    "the_name_that_results_have": lambda _: "model.onnx.data",
    "spaces_and_letters": lambda _: "die größten gewichte.bin",
    "a_file_for_each": lambda number: f"tensor {number}",
    "folders": lambda number: f"weights/{number % 2}/./data.bin",
    "some_inside": lambda number: None if number % 2 else "data",
}
PASSES: dict[str, tuple[str, dict[str, Any], float]] = {
    "simplify": ("simplify", {}, 1e-5),
    "fuse": ("fuse", {}, 1e-5),
    "fuse_basic": ("fuse", {"level": "basic"}, 1e-5),
    "static": ("quantize", {"mode": "static"}, 0.1),
    "dynamic": ("quantize", {"mode": "dynamic"}, 0.1),
    "weight_only": ("quantize", {"mode": "weight_only"}, 0.1),
    "fp16": ("fp16", {"seconds": 5}, 0.01),
}


def weight(*shape: int) -> np.ndarray:
    return (RANDOM.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def network(*, branches: bool) -> onnx.ModelProto:
    """Weights among the initializers, in a node, and in the bodies of an If; sizes and scalars that are tensors."""
    value, node = helper.make_tensor_value_info, helper.make_node
    nodes = [
        node("Constant", [], ["held"], value=numpy_helper.from_array(weight(64, 32), "held")),
        node("Reshape", ["x", "shape"], ["r"]), node("MatMul", ["r", "w 1"], ["m"]), node("Add", ["m", "bias"], ["a"]),
        node("Relu", ["a"], ["b"]), node("MatMul", ["b", "held"], ["c"]),
    ]  # fmt: skip
    if branches:
        bodies = [
            helper.make_graph(
                [node("MatMul", ["c", f"w{way}"], [f"o{way}"])], way, [], [value(f"o{way}", TensorProto.FLOAT, None)],
                [numpy_helper.from_array(weight(32, 32), f"w{way}")],
            ) for way in ("then", "else")
        ]  # fmt: skip
        nodes += [node("ReduceMax", ["c"], ["top"], keepdims=0), node("Greater", ["top", "zero"], ["test"])]
        nodes.append(node("If", ["test"], ["d"], then_branch=bodies[0], else_branch=bodies[1]))
    nodes.append(node("MatMul", ["d" if branches else "c", "w/2"], ["y"]))
    arrays = {"shape": np.array([-1, 64]), "w 1": weight(64, 64), "bias": weight(64), "w/2": weight(32, 16)}
    arrays |= {"zero": np.zeros((), np.float32)} if branches else {}
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 64])], [value("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(folder: Path, place: Callable[[int], str | None], *, branches: bool = True) -> Path:
    """Write the network into a folder that is then read-only; offsets are no multiples of anything."""
    proto = network(branches=branches)
    for number, tensor in enumerate(tensors(proto)):
        location = place(number)
        if location is None:
            continue
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        with (folder / location).open("ab") as stream:
            stream.write(b"odd")
            entries = {"location": location, "offset": stream.tell(), "length": len(tensor.raw_data)}
            stream.write(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, entry in entries.items():
            tensor.external_data.add(key=key, value=str(entry))
    path = folder / "the model.onnx"
    onnx.save(proto, path)
    for file in (*folder.rglob("*"), folder):
        file.chmod(0o555 if file.is_dir() else 0o444)
    return path


def check(name: str, source: Path, tmp_path: Path, files: list[str]) -> None:
    pass_, config, tolerance = PASSES[name]
    result = applied(
        run_pass(
            table()[pass_], source, config, tmp_path, calibration={"x": X}, samples={"x": X}, objective=Objective.SIZE
        )
    )
    assert sorted(file.name for file in result.path.parent.iterdir()) == files
    alone = tmp_path / "alone"
    shutil.copytree(result.path.parent, alone)
    expected, got = (outputs_of(path, {"x": X})["y"] for path in (source, alone / "model.onnx"))
    assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)
    assert open_onnx(alone / "model.onnx").outputs == open_onnx(source).outputs


@pytest.mark.heavy
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["simplify", "fuse", "dynamic"])
def test_wherever_the_weights_are_the_result_holds_them(name: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    check(name, written(tmp_path / "source", PLACES[place]), tmp_path, ["model.onnx"])


@pytest.mark.parametrize("name", ["fuse_basic", "static", "weight_only", "fp16"])
def test_every_pass_holds_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = written(tmp_path / "source", PLACES["folders"], branches=name != "fp16")
    check(name, source, tmp_path, ["model.onnx"])


@pytest.mark.parametrize("name", PASSES)
def test_what_is_too_large_for_one_file_goes_into_two(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "EXTERNAL_DATA_ABOVE", 0)
    monkeypatch.setattr(quantization_graph, "EXTERNAL_DATA_ABOVE", 0)
    (tmp_path / "source").mkdir()
    source = written(tmp_path / "source", PLACES["spaces_and_letters"], branches=name != "fp16")
    check(name, source, tmp_path, ["model.onnx", "model.onnx.data"])
