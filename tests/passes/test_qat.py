"""The pass: a model learns to be rounded, and what comes is fused by ONNX Runtime, at any size of its batch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from openvino_models import agree, needed
from pass_runs import PLAIN_X86, applied, outputs_of, run_pass
from prunable_models import CNN, IMAGE, TRANSFORMER, built, made, samples
from pydantic import ValidationError
from torch_sources import make

from mlopt.core.errors import DataError, MissingPackage, PassError
from mlopt.core.packages import install_command
from mlopt.core.target import Target
from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.model import load_module, open_program
from mlopt.passes.base import PassResult, Refusal
from mlopt.passes.qat import PASS, QatConfig
from mlopt.runtimes.openvino_options import OpenVinoOptions

pytest.importorskip("torchao", reason="needs the extra mlopt[qat]")
pytestmark = pytest.mark.heavy

TRAIN = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "threads": 1, "held_out": 0.2}
RECIPES = Path(__file__).parents[2] / "recipes"
UNCHANGED = {"epochs": 1, "learning_rate": 1e-9}
VNNI = PLAIN_X86.model_copy(update={"isa": (*PLAIN_X86.isa, "avx512f", "avx512_vnni")})


def run(tmp_path: Path, model: Model, config: dict[str, Any], **more: Any) -> PassResult:
    return applied(tried(tmp_path, model, config, **more))


def tried(tmp_path: Path, model: Model, config: dict[str, Any], **more: Any) -> PassResult | Refusal:
    given = {"train": samples(tmp_path / "train", model.inputs), "base": tmp_path, "hardware": VNNI, **more}
    few = dict(samples(tmp_path / "few", model.inputs, 8, seed=1).inputs)
    config = {"batches": 2, **config, "train": {**TRAIN, **config.get("train", {})}}
    return run_pass(PASS, model, config, tmp_path, samples=few, inputs=model.inputs, **given)


def without_labels(data: Dataset, folder: Path) -> Dataset:
    return store(Samples(dict(data.inputs)), folder, "made")


def optimized(path: Path) -> Counter[str]:
    """Return the operators that ONNX Runtime makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("optimized.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path.with_name("optimized.onnx")).graph.node)


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the integers that stand for weights, by name."""
    stored = [onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer]
    return {str(n): value for n, value in enumerate(stored) if value.dtype == np.int8 and value.ndim > 1}


def drift(model: Model, path: Path, data: Dataset) -> float:
    """Return how far the results are from the model's, as a share of these."""
    feed = np.array(next(iter(data.inputs.values())))
    with torch.no_grad():
        wanted = load_module(model)(torch.from_numpy(feed))[0].numpy()
    (got,) = outputs_of(path, {model.inputs[0].name: feed}).values()
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def test_convolutions_learn_and_are_fused(tmp_path: Path) -> None:
    found = run(tmp_path, made(tmp_path, "cnn"), {"train": {"epochs": 10}})
    fused = optimized(found.path)
    assert fused["QLinearConv"] == 3
    assert fused["QGemm"] == 1
    assert not {"Conv", "Gemm", "MatMul", "BatchNormalization"} & fused.keys()
    assert found.notes["layers"] == found.notes["biases"] == 4
    assert found.notes["loss"] == "kd"
    (training,) = found.notes["trainings"]
    losses = [each["loss"] for each in training["epochs"]]
    assert training["name"] == "qat"
    assert losses[-1] < losses[0]
    assert open_onnx(found.path).inputs == IMAGE
    for size in (1, 5):  # the batch is still free
        (got,) = outputs_of(found.path, {"image": np.zeros((size, 3, 16, 16), np.float32)}).values()
        assert got.shape == (size, 4)


@needed
def test_openvino_computes_it_in_integers(tmp_path: Path) -> None:
    from mlopt.runtimes import openvino

    model = made(tmp_path, "cnn")
    found = open_onnx(run(tmp_path, model, {}).path)
    layers = openvino.layers(found, OpenVinoOptions(threads=1))
    computing = {"Convolution", "FullyConnected"}
    found_in = {(each.op_type, each.precision) for each in layers if each.op_type in computing}
    assert found_in == {(name, "u8") for name in computing}
    agree(found, {"image": np.array(next(iter(samples(tmp_path / "some", IMAGE).inputs.values())))[:4]}, tolerance=0.1)


def test_it_learns_from_the_model_without_labels(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    data = samples(tmp_path / "train", IMAGE)
    found = run(tmp_path, model, {"freeze": 0.0}, train=without_labels(data, tmp_path / "unlabelled"))
    assert found.notes["loss"] == "embedding"
    assert drift(model, found.path, data) < 0.1


@pytest.mark.parametrize("hardware", [PLAIN_X86, VNNI])
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_have_the_scales_and_bits_that_are_asked_for(tmp_path: Path, per_channel: bool, hardware: Any) -> None:
    found = run(
        tmp_path, made(tmp_path, "cnn"), {"per_channel": per_channel, "train": {"epochs": 1}}, hardware=hardware
    )
    graph = onnx.load(found.path).graph
    ranks = {len(each.dims) for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    assert ranks == ({0, 1} if per_channel else {0})
    largest = 63 if hardware is PLAIN_X86 else 127
    assert found.notes["reduce_range"] is (hardware is PLAIN_X86)
    assert max(int(abs(each.astype(int)).max()) for each in weights(found.path).values()) == largest
    assert optimized(found.path)["QLinearConv"] == 3


def test_of_a_transformer_only_products_are_rounded(tmp_path: Path) -> None:
    model = built(tmp_path, TRANSFORMER, (TensorSpec("tokens", "int64", ("batch", 12)),))
    found = run(tmp_path, model, {"train": UNCHANGED})
    fused = optimized(found.path)
    assert found.notes["layers"] == 13
    assert fused["MatMulIntegerToFloat"] + fused["QGemm"] + fused["DynamicQuantizeMatMul"] == 13
    assert drift(model, found.path, samples(tmp_path / "train", model.inputs)) < 0.2


def test_every_layer_of_a_residual_network_is_fused(tmp_path: Path) -> None:
    digits = (TensorSpec("image", "float32", ("batch", 1, 28, 28)),)
    model = make(tmp_path, CodeReference(RECIPES / "mnist_cnn.py", "build"), inputs=digits)
    found = run(tmp_path, model, {"per_channel": False, "loss": "embedding", "train": {"epochs": 1}})
    assert found.notes["layers"] == 9
    fused = optimized(found.path)
    assert {name: fused[name] for name in ("QLinearConv", "QLinearAdd", "QGemm")} == {
        "QLinearConv": 8, "QLinearAdd": 3, "QGemm": 1,
    }  # fmt: skip


ODD = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, eps=0.1, momentum=0.3)
        self.same, self.after = nn.Conv2d(8, 8, 3, padding="same"), nn.BatchNorm2d(8)
        self.drop, self.wide = nn.Dropout(0.3), nn.Linear(8, 16)
        self.last, self.head = nn.BatchNorm1d(16), nn.Linear(16, 4)
        with torch.no_grad():
            for norm in (self.norm, self.after, self.last):
                norm.running_var.uniform_(0.5, 2)
                norm.running_mean.normal_()
                norm.weight.uniform_(-1, 1)[0] = 0
    def forward(self, image):
        x = torch.relu(self.norm(self.first(image)))
        x = nn.functional.max_pool2d(nn.functional.relu6(self.after(self.same(x))), 2)
        return self.head(torch.relu(self.last(self.wide(self.drop(x.mean((2, 3)))))))
def build():
    torch.manual_seed(0)
    return Net()
"""


def test_every_batch_norm_is_folded_as_it_is(tmp_path: Path) -> None:
    """With an eps of its own, after a layer that torchao trains apart from it, with channels that it sets to 0."""
    model = built(tmp_path, ODD, IMAGE)
    found = run(tmp_path, model, {"train": UNCHANGED, "freeze": 0.0})
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(found.path).graph.node}
    assert optimized(found.path)["QLinearConv"] == 2
    assert drift(model, found.path, samples(tmp_path / "train", IMAGE)) < 0.05


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    model, step = built(tmp_path / "own", CNN, IMAGE), tmp_path / "step.py"
    loss = "((module(batch['image'])[0] - batch['labels'][:, None]) ** 2).mean()"
    step.write_text(f"def step(module, batch):\n    return {loss}\n")
    config = {"train": {"step": "./step.py:step"}}
    whole = run(tmp_path, model, config)
    step.write_text(
        "calls = 0\ndef step(module, batch):\n    global calls\n    calls += 1\n"
        f"    if calls > 14:\n        raise KeyboardInterrupt\n    return {loss}\n"
    )
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, model, config, unfinished=tmp_path / "unfinished")
    step.write_text(f"def step(module, batch):\n    return {loss}\n")
    resumed = run(tmp_path, model, config, unfinished=tmp_path / "unfinished")
    assert resumed.notes["trainings"][0]["resumed_at"] > 0
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert "loss" not in resumed.notes


def test_a_program_of_torch_export_learns_too(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(net.eval(), (torch.zeros(2, 6),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    model = open_program(tmp_path / "model.pt2", (TensorSpec("image", "float32", ("batch", 6)),))
    assert optimized(run(tmp_path, model, {}).path)["QGemm"] == 2


BRANCHING = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)
    def forward(self, image):
        return self.head(image) if image.sum() > 0 else self.head(-image)
def build():
    return Net()
"""
ROWS = (TensorSpec("image", "float32", ("batch", 6)),)


def test_what_cannot_be_traced_is_told(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"torch\.export cannot trace the model") as caught:
        run(tmp_path, built(tmp_path, BRANCHING, ROWS), {})
    (problem,) = caught.value.problems
    assert str(problem.where).endswith("net.py:10")
    assert "torch.where" in str(problem.fix)


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    source = "from torch import nn\ndef build():\n    return nn.LayerNorm(6)\n"
    found = tried(tmp_path, built(tmp_path, source, ROWS), {"loss": "embedding"})
    assert isinstance(found, Refusal)
    assert "nothing to quantize" in found.reason


def test_another_device_is_refused(tmp_path: Path) -> None:
    found = tried(tmp_path, made(tmp_path, "cnn"), {}, target=Target(device="cuda"))
    assert isinstance(found, Refusal)
    assert "cuda" in found.reason


def test_without_data_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="nothing to train on"):
        run(tmp_path, made(tmp_path, "cnn"), {}, train=None)


def test_without_torchao_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchao", None)
    with pytest.raises(MissingPackage, match="torchao is not installed") as caught:
        run(tmp_path, made(tmp_path, "cnn"), {})
    assert install_command("qat") in str(caught.value.problems[0].fix)


def test_labels_that_are_no_classes_are_told(tmp_path: Path) -> None:
    data = samples(tmp_path / "train", IMAGE)
    wrong = store(Samples(dict(data.inputs), np.asarray(data.labels) + 9), tmp_path / "wrong", "made")
    with pytest.raises(DataError, match="a label is no class of the model"):
        run(tmp_path, made(tmp_path, "cnn"), {}, train=wrong)


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    step = tmp_path / "step.py"
    step.write_text(
        "calls = 0\ndef step(module, batch):\n    global calls\n    calls += 1\n"
        "    return module(batch['image'])[0].mean() * (float('nan') if calls > 14 else 1)\n"
    )
    with pytest.raises(PassError, match="not a number any more") as caught:
        run(tmp_path, made(tmp_path, "cnn"), {"train": {"step": "./step.py:step"}}, unfinished=tmp_path / "unfinished")
    assert "the last checkpoint is kept" in str(caught.value.problems[0].fix)
    assert (tmp_path / "unfinished" / "qat.ckpt").is_file()


@pytest.mark.parametrize("config", [{"train": {"precision": "bfloat16"}}, {"freeze": 2}, {"loss": "dkd"}, {"bits": 4}])
def test_keys_that_do_not_fit_are_told(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QatConfig(**config)


def test_what_it_names_belongs_to_it() -> None:
    assert QatConfig().named == {}
    assert QatConfig().trains
    assert QatConfig(train={"step": "s.py:step"}).named == {"train.step": "s.py:step"}
