"""Models that differ on one sample of many, that do not repeat themselves, or whose outputs differ in size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import AT_ANY_SPEED, BRIEFLY

import mlopt
from mlopt.cli.app import run
from mlopt.data.choice import typical

Array = np.ndarray[Any, Any]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(source: str, capfd: pytest.CaptureFixture[str], *options: str) -> str:
    """Return the one error that a run ends in."""
    assert run(["optimize", source, "--no-sign", *options]) == 2
    message = capfd.readouterr().err
    assert "Traceback" not in message
    assert message.count("error:") == 1
    return message


def torch_recipe(code: str, inputs: str, more: str = "") -> str:
    Path("m.py").write_text("import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n" + code)
    Path("r.yaml").write_text(
        "apiVersion: mlopt/v1\nname: r\n"
        f"model: {{source: './m.py:build', inputs: {inputs}}}\n{more}"
        "target: {threads: 1, batch_size: 2}\npasses: [export, simplify, fuse]\n"
    )
    return "r.yaml"


MASKED = """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(8, 24)

    def forward(self, x, mask):
        q, k, v = self.q(x).view(x.shape[0], x.shape[1], 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :].bool())
        return y.transpose(1, 2).flatten(2)

def build():
    return M().eval()
"""


def test_a_mask_that_hides_everything_is_found_on_the_one_sample_that_has_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """PyTorch answers zeros there, the exported graph the mean; those that are looked at after each pass are alike."""
    mask = np.ones((20, 7), np.int64)
    hidden = next(row for row in range(8, 13) if row not in typical(20, 8, None))  # nor traced with
    mask[hidden] = 0
    np.savez("d.npz", x=np.random.default_rng(0).standard_normal((20, 7, 8)).astype(np.float32), mask=mask)
    source = torch_recipe(
        MASKED,
        "{x: {dtype: float32, shape: [batch, length, 8]}, mask: {dtype: int64, shape: [batch, length]}}",
        "data: {evaluation: {source: d.npz}}\n",
    )
    message = refused(source, capfd, "--allow-code")
    assert "pass 'export' (step 1): a lossless pass changed the model's results" in message
    assert f"output 'output', sample {hidden}: value 0 is" in message
    assert "1 of 20 evaluation samples differ" in message
    assert "leave it out of data.evaluation" in message


def test_noise_inside_a_module_is_named_before_any_pass_is_blamed(capfd: pytest.CaptureFixture[str]) -> None:
    code = """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.d = nn.Linear(8, 4), nn.Linear(2, 8)

    def forward(self, x):
        mu, logvar = self.e(x).chunk(2, 1)
        return self.d(mu + torch.randn_like(mu) * (0.5 * logvar).exp())

def build():
    return M().eval()
"""
    message = refused(torch_recipe(code, "{x: {dtype: float32, shape: [batch, 8]}}"), capfd, "--allow-code")
    assert "m.py:build: the model is random: the same input gives other outputs each time" in message
    line = (Path("m.py").read_text().splitlines()).index(
        "        return self.d(mu + torch.randn_like(mu) * (0.5 * logvar).exp())"
    )
    assert f"randn_like at {Path('m.py').resolve()}:{line + 1}" in message
    assert "make the noise an input of the model" in message


def save(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Array], **opsets: int) -> str:
    """Write ``model.onnx`` with the named weights."""
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", 17), *(helper.make_opsetid(n.replace("_", "."), v) for n, v in opsets.items())]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, "model.onnx")
    return "model.onnx"


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def tensor(name: str, kind: int, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_noise_inside_a_graph_is_named_before_any_pass_is_blamed(capfd: pytest.CaptureFixture[str]) -> None:
    nodes = [node("MatMul", "x w", "h"), node("RandomNormalLike", "h", "z", scale=0.3), node("Add", "h z", "hz"),
             node("Relu", "hz", "r"), node("MatMul", "r w2", "y")]  # fmt: skip
    weights = {"w": normal(32, 64), "w2": normal(64, 16, seed=1)}
    source = save(nodes, [tensor("x", FLOAT, "n", 32)], [tensor("y", FLOAT, "n", 16)], weights)
    np.savez("x.npz", x=normal(40, 32))
    message = refused(source, capfd, "--data", "x.npz")
    assert "the model is random" in message
    assert "RandomNormalLike, which makes 'z'" in message


def detector(anchors: int = 60, size: int = 16) -> str:
    """Write a detector that ends in NonMaxSuppression: boxes and scores, as many as it finds."""
    nodes = [
        node("Flatten", "x", "f"), node("MatMul", "f w1", "h0"), node("Relu", "h0", "h1"),
        node("MatMul", "h1 wb", "b0"), node("Sigmoid", "b0", "b1"), node("Reshape", "b1 sb", "cwh"),
        node("Split", "cwh two", "c wh", axis=2), node("Mul", "wh half", "r"),
        node("Sub", "c r", "lo"), node("Add", "c r", "hi"), node("Concat", "lo hi", "b2", axis=2),
        node("Mul", "b2 pixels", "all_boxes"), node("MatMul", "h1 ws", "s0"), node("Sigmoid", "s0", "s1"),
        node("Reshape", "s1 ss", "all_scores"),
        node("NonMaxSuppression", "all_boxes all_scores most iou least", "chosen"),
        node("Gather", "chosen column", "at0", axis=1), node("Reshape", "at0 flat", "at"),
        node("Reshape", "all_boxes rows", "b3"), node("Gather", "b3 at", "boxes", axis=0),
        node("Reshape", "all_scores flat", "s2"), node("Gather", "s2 at", "scores", axis=0),
    ]  # fmt: skip
    weights = {
        "w1": normal(3 * size * size, 32) / 28, "wb": normal(32, anchors * 4) / 3, "ws": normal(32, anchors) / 3,
        "sb": np.array([0, anchors, 4]), "two": np.array([2, 2]), "half": np.float32(0.15), "pixels": np.float32(64),
        "ss": np.array([0, 1, anchors]), "most": np.array([20]), "iou": np.array([0.5], np.float32),
        "least": np.array([0.8], np.float32), "column": np.array([2]), "flat": np.array([-1]),
        "rows": np.array([-1, 4]),
    }  # fmt: skip
    outputs = [tensor("boxes", FLOAT, "found", 4), tensor("scores", FLOAT, "found")]
    return save(nodes, [tensor("x", FLOAT, 1, 3, size, size)], outputs, {n: np.asarray(w) for n, w in weights.items()})


def test_a_detector_is_optimized_with_nothing_but_samples() -> None:
    source = detector()
    np.savez("x.npz", x=normal(24, 3, 16, 16))
    gates = AT_ANY_SPEED.replace("gates=[", "gates=[{metric: fidelity.matched, min: 0.99}, ")
    overrides = [*BRIEFLY, gates, "passes=[{simplify: {}}, {fuse: {optional: true}}]"]
    artifact = mlopt.optimize(source, data="x.npz", overrides=overrides, sign=False)
    report = artifact.report
    assert report.verdict == "pass"
    assert report.final.fidelity is not None
    assert report.final.fidelity.matched == 1
    assert report.final.fidelity.cosine == pytest.approx(1)
    assert any("'boxes', 'scores': boxes are matched by their overlap" in note for note in report.notes)


def classifier(*, strings: bool = False, zipmap: bool = False) -> str:
    """Write what scikit-learn's models become: a label and probabilities, or a map of these."""
    names: dict[str, Any] = {"classlabels_strings": list("abc")} if strings else {"classlabels_ints": [0, 1, 2]}
    made = helper.make_node(
        "LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", coefficients=normal(12).tolist(),
        intercepts=[0.0] * 3, multi_class=1, post_transform="SOFTMAX", **names,
    )  # fmt: skip
    last = node("Identity", "p", "probabilities")
    out = tensor("probabilities", FLOAT, "n", 3)
    if zipmap:
        last = node("ZipMap", "p", "probabilities", domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
        mapping = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
        out = helper.make_value_info("probabilities", helper.make_sequence_type_proto(mapping))
    label = tensor("label", TensorProto.STRING if strings else INT64, "n")
    return save([made, last], [tensor("x", FLOAT, "n", 4)], [label, out], {}, ai_onnx_ml=1)


def test_labels_that_are_text_are_compared_as_classes() -> None:
    source = classifier(strings=True)
    np.savez("x.npz", x=normal(40, 4))
    overrides = [*BRIEFLY, AT_ANY_SPEED, "passes=[simplify]", "metric.name=agreement"]
    report = mlopt.optimize(source, data="x.npz", overrides=overrides, sign=False).report
    assert report.verdict == "pass"
    assert report.final.accuracy is not None
    assert report.final.accuracy.value == 1
    assert report.final.fidelity is not None
    assert report.final.fidelity.cosine == 1


def test_a_map_of_probabilities_becomes_a_tensor_and_that_is_said() -> None:
    np.savez("x.npz", x=normal(40, 4))
    report = mlopt.optimize(
        classifier(zipmap=True), data="x.npz", overrides=[*BRIEFLY, AT_ANY_SPEED], sign=False
    ).report
    assert report.final.fidelity is not None
    assert report.final.fidelity.cosine == pytest.approx(1)
    assert any("output 'probabilities' is a tensor now" in note for note in report.notes)
