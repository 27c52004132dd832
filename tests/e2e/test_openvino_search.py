"""The search for the fastest runtime with OpenVINO beside ONNX Runtime: what it may round, and what it cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from openvino_models import FLOAT, graph, needed
from quantization_models import random
from searching import cosine, optimize, recipe, why
from small_models import NETWORK

import mlopt
from mlopt.core.errors import ExitCode
from mlopt.core.hardware import detect_cpu

pytestmark = [needed, pytest.mark.heavy]
node = helper.make_node

PAGES = {
    "bom.cdx.json", "claims.jsonl", "mlopt.json", "model.onnx", "model.sig", "recipe.lock.yaml", "report.html",
    "report.json", "report.md", "samples.json", "sketches.json",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(folder: Path, **inputs: np.ndarray[Any, Any]) -> None:
    np.savez(folder / "x.npz", **inputs)


def high(folder: Path) -> dict[str, Any]:
    """Write a model whose activations lie near 1,000 and differ by 1, and return feeds for it."""
    mixed = random(8, 8, 1, 1, scale=0.3, seed=2)
    nodes = [
        node("Conv", ["x", "w1"], ["c1"]), node("Add", ["c1", "thousand"], ["high"]),
        node("Conv", ["high", "w2"], ["c2"]), node("Sub", ["c2", "offset"], ["y"]),
    ]  # fmt: skip
    held = {
        "w1": random(8, 3, 3, 3, scale=0.2, seed=1), "thousand": np.array(1000, np.float32), "w2": mixed,
        "offset": 1000 * mixed.sum(axis=1, keepdims=True).reshape(1, 8, 1, 1),
    }  # fmt: skip
    graph(folder / "high.onnx", nodes, {"x": (FLOAT, ["batch", 3, 10, 10])}, {"y": FLOAT}, **held)
    feeds = {"x": random(24, 3, 10, 10)}
    save(folder, **feeds)
    return {"x": feeds["x"][:4]}


@pytest.mark.skipif("avx512_bf16" not in detect_cpu().isa, reason="this CPU does not compute in bfloat16")
def test_what_bfloat16_would_spoil_is_shipped_in_full_precision(here: Path) -> None:
    feeds = high(here)
    made = optimize(here, recipe("high"))
    rounded = [each for each in made.report.tried if each.options.get("precision") == "bf16"]
    assert rounded
    assert [each for each in rounded if "cosine" not in str(each.why_not)] == []
    assert made.report.final.options.get("precision") != "bf16"
    assert cosine(made, here / "high.onnx", feeds) > 0.999


def fused(folder: Path) -> None:
    held = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8), "w": np.ones((3, 4), np.uint8)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QGemm", ["q", "s", "z", "w", "s", "z", "", "s", "z"], ["c"], domain="com.microsoft"),
        node("DequantizeLinear", ["c", "s", "z"], ["y"]),
    ]  # fmt: skip
    graph(folder / "m.onnx", nodes, {"x": (FLOAT, ["n", 3])}, {"y": FLOAT}, **held)
    save(folder, x=np.abs(random(16, 3)))


def odd_types(folder: Path) -> None:
    double = TensorProto.DOUBLE
    nodes = [
        node("Mul", ["w", "w"], ["y"]), node("Equal", ["x", "a"], ["same"]), node("Cast", ["same"], ["z"], to=FLOAT),
    ]  # fmt: skip
    inputs = {"w": (double, ["n", 3]), "x": (TensorProto.STRING, ["n", 2])}
    made = graph(folder / "m.onnx", nodes, inputs, {"y": double, "z": FLOAT}, a=np.array(["a"]))
    proto = onnx.load(made.path)
    proto.opset_import[0].version = 19  # the first in which Equal takes text
    onnx.save(proto, made.path)
    save(folder, w=random(16, 3).astype(np.float64), x=np.array([["a", "b"], ["b", "a"]] * 8))


UNREAD = {
    fused: "OpenVINO does not know operators of this model: com.microsoft.QGemm",
    odd_types: "OpenVINO computes float64 in float32 on a CPU: float64",
}  # fmt: skip


@pytest.mark.parametrize("write", UNREAD)
def test_what_openvino_cannot_read_is_shipped_in_onnx_runtime(here: Path, write: Any) -> None:
    write(here)
    made = optimize(here, recipe("m", passes=[] if write is fused else ["simplify"]))
    assert (made.report.verdict, made.report.final.runtime) == ("pass", "onnxruntime")
    assert why(made.report, "openvino")
    assert [each for each in why(made.report, "openvino") if UNREAD[write] not in each] == []
    assert not (here / "repro").exists()


def test_a_pytorch_source_ends_in_openvino_as_well(here: Path) -> None:
    (here / "net.py").write_text(NETWORK)
    model = {"source": "./net.py:build", "inputs": {"image": {"dtype": "float32", "shape": ["batch", 1, 12, 12]}}}
    data = {"evaluation": {"source": "./net.py:evaluation"}}
    target = {"runtime": ["onnxruntime", "openvino"], "threads": 1, "batch_size": 4}
    said = recipe("net", model=model, passes=["export", "simplify"], data=data, target=target)
    made = optimize(here, said, allow_code=True)
    assert {each.runtime for each in made.report.tried} == {"onnxruntime", "openvino"}
    assert {each.options["shapes"] for each in made.report.tried if each.runtime == "openvino"} == {"static"}
    assert {"torch_eager", "onnx_fp32"} <= set(made.report.references)


def test_weights_beside_the_model_are_shipped_and_signed(here: Path) -> None:
    feeds = high(here)
    onnx.save(onnx.load("high.onnx"), "high.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    made = optimize(here, recipe("high", target={"runtime": "openvino", "threads": 1}, passes=[]))
    assert made.report.final.runtime == "openvino"
    assert cosine(made, here / "high.onnx", feeds) > 0.999
    (weights,) = (each for each in made.path.iterdir() if each.name not in PAGES)
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    with pytest.raises(mlopt.MloptError) as caught:
        mlopt.load(made.path)
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_answers_of_several_sizes_are_held_against_each_other(here: Path) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("NonZero", ["r"], ["t"]), node("Transpose", ["t"], ["y"])]
    graph(here / "m.onnx", nodes, {"x": (FLOAT, [1, 6])}, {"y": TensorProto.INT64})
    save(here, x=random(16, 6))
    made = optimize(here, recipe("m", passes=[]))
    assert {each.runtime: each.valid for each in made.report.tried}.keys() == {"onnxruntime", "openvino"}
    assert [each for each in why(made.report, "openvino") if "slower" not in each and "no race" not in each] == []
