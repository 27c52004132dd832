"""neural-compressor: what it quantizes, what it refuses, and that onnxruntime computes what the model computes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from pass_runs import applied, fresh, outputs_of, run_pass
from pydantic import ValidationError
from quantization_models import cosine, random

from mlopt.core.hardware import detect
from mlopt.core.target import Target
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.torch.source import materialize
from mlopt.passes.base import PassResult, Refusal
from mlopt.passes.neural_compressor import PASS
from mlopt.runtimes.table import open_session

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

pytest.importorskip("torch", reason="needs the extra mlopt[torch]")
pytest.importorskip("neural_compressor", reason="needs the extra mlopt[quant]")

IMAGE = (TensorSpec("image", "float32", ("batch", 3, 8, 8)),)
ROWS = (TensorSpec("rows", "float32", ("batch", 32)),)
IMAGES, VECTORS = {"image": random(24, 3, 8, 8)}, {"rows": random(24, 32)}
RECIPES = Path(__file__).parents[2] / "recipes"
CNN = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)
    def forward(self, image):
        x = torch.relu(self.norm(self.first(image)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))
"""
BLOCKS = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32, bias=False)
    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.neck, self.head = nn.Linear(32, 20), nn.Linear(20, 5)
    def forward(self, rows):
        for block in self.blocks:
            rows = block(rows)
        return self.head(torch.relu(self.neck(rows)))
"""
PLAIN = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(32, 64), nn.Linear(64, 5)
    def forward(self, rows):
        return self.second(torch.relu(self.first(rows)))
"""
BRANCH = """
class Net(nn.Module):
    def forward(self, rows):
        return rows * 2 if rows.sum() > 0 else rows
"""
SIZES = """
class Net(nn.Module):
    def forward(self, rows):
        return rows * 2 if rows.shape[0] > 3 else rows
"""


def source(tmp_path: Path, text: str, inputs: tuple[TensorSpec, ...]) -> Model:
    """The model that ``Net`` in a file with ``text`` makes."""
    folder = fresh(tmp_path, "source")
    (folder / "net.py").write_text(f"import torch\nfrom torch import nn\n{text}\ndef build():\n    return Net()\n")
    code = CodeReference(folder / "net.py", "build")
    return materialize(code, None, inputs, ("logits",), fresh(tmp_path, "model"))


def eager(model: Model, feeds: dict[str, Any]) -> Any:
    with open_session(in_runtime(model)) as session:
        return session.run(feeds)["logits"]


def fused(path: Path, feeds: dict[str, Any]) -> Any:
    """Run as deployed, with every optimization of the runtime: that is where integers multiply integers."""
    with open_session(in_runtime(open_onnx(path))) as session:
        return session.run(feeds)["logits"]


def reason(result: PassResult | Refusal) -> str:
    assert isinstance(result, Refusal), result
    return result.reason


def integer_weights(path: Path) -> list[np.ndarray[Any, Any]]:
    graph = read_graph(path).graph
    fed = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name in fed and len(t.dims) > 1]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, PassResult]:
    folder = tmp_path_factory.mktemp("static")
    model = source(folder, CNN, IMAGE)
    return model, applied(run_pass(PASS, model, {}, folder, calibration=IMAGES))


@pytest.mark.process
def test_static_int8_is_close_to_the_model(static: tuple[Model, PassResult]) -> None:
    model, result = static
    assert {name: result.notes[name] for name in ("mode", "quantized", "calibration_samples")} == {
        "mode": "static", "quantized": 3, "calibration_samples": 24,
    }  # fmt: skip
    for got in (fused(result.path, IMAGES), outputs_of(result.path, IMAGES)["logits"]):
        assert cosine(got, eager(model, IMAGES)) > 0.99


def test_weights_are_stored_as_integers_of_seven_bits_without_vnni(static: tuple[Model, PassResult]) -> None:
    _, result = static
    weights = integer_weights(result.path)
    assert result.notes["reduce_range"] is True
    assert [weight.dtype for weight in weights] == [np.int8] * 3
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) in {63, 64}


def test_the_interface_stands_and_the_batch_stays_free(static: tuple[Model, PassResult]) -> None:
    _, result = static
    after = open_onnx(result.path)
    assert after.inputs == IMAGE
    assert [spec.name for spec in after.outputs] == ["logits"]
    assert [file.name for file in result.path.parent.iterdir()] == ["model.onnx"]
    assert fused(result.path, {"image": random(1, 3, 8, 8)}).shape == (1, 5)


def test_autotune_judges_on_samples_that_it_did_not_calibrate_on(
    static: tuple[Model, PassResult], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = {"mode": "autotune", "min_cosine": 0.9, "reduce_range": False}
    result = applied(run_pass(PASS, static[0], config, tmp_path, calibration=IMAGES))
    assert (result.notes["calibration_samples"], result.notes["held_out_samples"]) == (12, 12)
    (trial,) = result.notes["trials"]  # the first is close enough
    assert (trial["ranges"], trial["symmetric"]) == ("minmax", False)
    assert 0.9 <= trial["cosine"] < 1
    assert max(int(np.abs(weight.astype(int)).max()) for weight in integer_weights(result.path)) > 64
    assert capfd.readouterr().out == ""  # neural-compressor prints tables


def test_autotune_refuses_when_no_setting_is_close_enough(static: tuple[Model, PassResult], tmp_path: Path) -> None:
    config = {"mode": "autotune", "min_cosine": 0.9999999}
    result = run_pass(PASS, static[0], config, tmp_path, calibration=IMAGES)
    assert reason(result).startswith("none of 4 settings reaches a cosine of 0.9999999: the best has 0.99")


def test_weights_alone_become_integers_in_blocks(tmp_path: Path) -> None:
    model = source(tmp_path, BLOCKS, ROWS)
    config = {"mode": "weight_only", "bits": 4, "symmetric": False}
    result = applied(run_pass(PASS, model, config, tmp_path))
    assert (result.notes["algorithm"], result.notes["quantized"]) == ("rtn", 5)
    assert result.notes["left_alone"] == {"head": "its 20 inputs are no multiple of the block of 32"}
    graph = read_graph(result.path).graph
    assert (
        sorted(list(t.dims) for t in graph.initializer if t.data_type == t.INT4 and t.dims[0] == 64) == [[64, 32]] * 2
    )
    for got in (fused(result.path, VECTORS), outputs_of(result.path, VECTORS)["logits"]):
        assert 0.99 < cosine(got, eager(model, VECTORS)) < 0.99999


@pytest.mark.parametrize(
    ("text", "config", "data", "why"),
    [
        (CNN, {}, None, "static needs calibration data: name it under data.calibration, or pass --data"),
        (PLAIN, {"mode": "weight_only", "algorithm": "gptq"}, None, "gptq needs calibration data"),
        (CNN, {"mode": "autotune"}, {"image": random(1, 3, 8, 8)}, "autotune holds out half of the calibration"),
        (PLAIN, {"mode": "weight_only", "algorithm": "gptq"}, VECTORS, "gptq works along a torch.nn.ModuleList"),
        (PLAIN, {"mode": "weight_only", "algorithm": "autoround"}, VECTORS, "autoround reads the config and tokenizer"),
        (BRANCH, {"mode": "weight_only"}, None, "weight-only quantization is for torch.nn.Linear"),
        (BRANCH, {}, VECTORS, "torch.export cannot trace the model: Could not guard on data-dependent"),
        (SIZES, {}, VECTORS, "torch.export cannot trace the model: Constraints violated (batch)!"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    text: str,
    config: dict[str, Any],
    data: dict[str, Any] | None,
    why: str,
) -> None:
    model = source(tmp_path, text, IMAGE if text == CNN else ROWS)
    assert reason(run_pass(PASS, model, config, tmp_path, calibration=data)).startswith(why)
    assert capfd.readouterr().out == ""


def test_a_module_without_weights_has_nothing_to_quantize(tmp_path: Path) -> None:
    text = BRANCH.replace("rows * 2 if rows.sum() > 0 else rows", "rows * 2")
    result = run_pass(PASS, source(tmp_path, text, ROWS), {}, tmp_path, calibration=VECTORS)
    assert reason(result) == "neural-compressor quantized no weight of the model"


def test_another_device_is_refused(static: tuple[Model, PassResult], tmp_path: Path) -> None:
    result = run_pass(PASS, static[0], {}, tmp_path, calibration=IMAGES, target=Target(device="cuda"))
    assert reason(result) == "this INT8 is for onnxruntime's CPU kernels, and the target is cuda"


def test_blocks_need_a_newer_opset() -> None:
    with pytest.raises(ValidationError, match="weights in blocks need opset 21 or later, not 20"):
        PASS.config(mode="weight_only", opset=20)


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(static: tuple[Model, PassResult], tmp_path: Path) -> None:
    model, first = static
    again = applied(run_pass(PASS, model, {}, tmp_path, calibration=IMAGES))
    assert first.path.read_bytes() == again.path.read_bytes()


@pytest.mark.slow
def test_mnist_cnn_keeps_its_accuracy_within_half_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_model

    recipe = CodeReference(RECIPES / "mnist_cnn.py", "build")
    digits = runpy.run_path(str(recipe.path))
    digits["train"].__globals__["EPOCHS"] = 2  # half a minute less: the loss from INT8 is what counts here
    module = digits["build"]()
    digits["train"](module)
    save_model(module, str(tmp_path / "weights.safetensors"))
    inputs = (TensorSpec("image", "float32", ("batch", 1, 28, 28)),)
    weights = tmp_path / "weights.safetensors"
    model = materialize(recipe, weights, inputs, ("logits",), fresh(tmp_path, "model"))
    calibration = {"image": digits["calibration"]()[0]["image"][:256]}
    result = applied(run_pass(PASS, model, {}, tmp_path, calibration=calibration, hardware=detect()))
    feeds, labels = digits["evaluation"]()
    before = float((eager(model, feeds).argmax(1) == labels).mean())
    after = float((fused(result.path, feeds).argmax(1) == labels).mean())
    assert result.notes["quantized"] == 9
    assert before > 0.9
    assert after >= before - 0.005
