"""Data of all kinds, from the files to a shipped model: pictures, empty caches, masks, states, texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import AT_ANY_SPEED, BRIEFLY

import mlopt
from mlopt.cli.app import run

FLOAT = TensorProto.FLOAT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def info(name: str, *shape: int | str, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def save(nodes: list[Any], inputs: list[Any], outputs: list[Any], **weights: np.ndarray) -> str:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), "model.onnx")
    return "model.onnx"


def recipe(data: str, passes: str, *more: str) -> str:
    text = f"apiVersion: mlopt/v1\nname: r\nmodel: {{source: model.onnx}}\ndata: {data}\npasses: {passes}\n"
    Path("r.yaml").write_text(text + "\n".join(more))
    return "r.yaml"


def test_classes_are_the_same_whatever_the_format() -> None:
    """Where the pictures of class 0 are of another format, all labels behind it would shift."""
    Image = pytest.importorskip("PIL.Image")
    weights = normal(3, 3, 8, 8)
    weights -= weights.mean((1, 2, 3), keepdims=True)
    nodes = [helper.make_node("Conv", ["x", "W"], ["c"]), helper.make_node("Flatten", ["c"], ["logits"])]
    save(nodes, [info("x", "batch", 3, 8, 8)], [info("logits", "batch", 3)], W=weights)
    session = onnxruntime.InferenceSession("model.onnx")
    random = np.random.default_rng(0)
    for number in range(60):
        grey = np.repeat(random.integers(0, 256, (8, 8, 1), np.uint8), 3, axis=2)  # of few colours: a GIF keeps them
        (scores,) = session.run(None, {"x": (grey.transpose(2, 0, 1)[None] / 255).astype(np.float32)})
        found = int(scores.argmax())
        file = Path(f"images/{found}/{number}.{'gif' if found == 0 else 'png'}")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(file)
    Path("images/1/notes.txt").write_text("not an image")
    source = recipe("{evaluation: {source: images}}", "[]", "metric: {name: accuracy}")
    report = mlopt.optimize(source, overrides=BRIEFLY, sign=False).report
    accuracy = report.final.accuracy
    assert accuracy is not None
    assert (accuracy.value, accuracy.n) == (1.0, 60)
    assert "1 file (1/notes.txt) is no picture, and was left out" in report.notes


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_an_empty_cache_and_an_infinite_mask_are_quantized(mode: str) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "wk"], ["k"]),
        helper.make_node("Concat", ["past", "k"], ["present"], axis=1),
        helper.make_node("Transpose", ["present"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "kt"], ["s"]),
        helper.make_node("Add", ["s", "mask"], ["m"]),
        helper.make_node("Softmax", ["m"], ["p"]),
        helper.make_node("MatMul", ["p", "present"], ["o"]),
        helper.make_node("MatMul", ["o", "wo"], ["y"]),
    ]
    inputs = [info("x", "b", "t", 8), info("past", "b", "past", 8), info("mask", "b", "t", "total")]
    save(nodes, inputs, [info("y", "b", "t", 8), info("present", "b", "total", 8)], wk=normal(8, 8),
         wo=normal(8, 8, seed=1))  # fmt: skip
    mask = np.zeros((40, 5, 5), np.float32)
    mask[:, :, 3:] = -np.inf
    np.savez("x.npz", x=normal(40, 5, 8), past=np.zeros((40, 0, 8), np.float32), mask=mask)
    data = "{calibration: {source: x.npz, split: [0, 0.5]}, evaluation: {source: x.npz, split: [0.5, 1]}}"
    source = recipe(data, f"[quantize: {{mode: {mode}}}]")
    artifact = mlopt.optimize(source, overrides=[*BRIEFLY, AT_ANY_SPEED], sign=False)
    assert artifact.report.verdict == "pass"


def test_texts_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [
        helper.make_node("LabelEncoder", ["city"], ["ids"], domain="ai.onnx.ml", keys_strings=["a", "b"],
                         values_int64s=[1, 2], default_int64=0),
        helper.make_node("Gather", ["table", "ids"], ["y"]),
    ]  # fmt: skip
    save(nodes, [info("city", "n", kind=TensorProto.STRING)], [info("y", "n", 4)], table=normal(3, 4))
    assert run(["bench", "model.onnx", "--time", "0.1"]) == 0
    assert "bug" not in capsys.readouterr().err


def test_a_state_whose_batch_is_its_second_axis() -> None:
    pytest.importorskip("torch")
    Path("net.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.gru = torch.nn.GRU(4, 6, 2, batch_first=True)\n\n"
        "    def forward(self, x, h0):\n        return self.gru(x, h0)\n\n\n"
        "def build():\n    torch.manual_seed(0)\n    return Net().eval()\n"
    )
    Path("net.yaml").write_text(
        "apiVersion: mlopt/v1\nname: net\npasses: [export]\ngates: [{metric: fidelity.max_abs, max: 1e-4}]\n"
        "model:\n  source: ./net.py:build\n  outputs: [y, state]\n"
        "  inputs: {x: {dtype: float32, shape: [batch, time, 4]}, h0: {dtype: float32, shape: [2, batch, 6]}}\n"
    )
    report = mlopt.optimize("net.yaml", overrides=BRIEFLY, sign=False, allow_code=True).report
    assert report.verdict == "pass"
    assert any("x [1, 16, 4]; h0 [2, 1, 6]" in note for note in report.notes)
