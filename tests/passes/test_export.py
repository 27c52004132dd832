from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from pass_runs import PLAIN_X86, applied, fresh, outputs_of, run_pass
from pydantic import ValidationError

from mlopt.core.errors import ModelError, PassError, Problem
from mlopt.core.target import Objective, Target
from mlopt.core.usercode import CodeReference
from mlopt.core.worker import run_in_worker
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx import graph
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.model import open_program
from mlopt.formats.torch.source import materialize
from mlopt.passes.base import Context, PassResult
from mlopt.passes.export import PASS
from mlopt.runtimes.table import open_session

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")

IMAGE = (TensorSpec("image", "float32", ("batch", 1, 8, 8)),)
MATRIX = (TensorSpec("x", "float32", ("batch", "columns")),)
CNN = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)
    def forward(self, image):
        embedding = torch.relu(self.conv(image)).mean((2, 3))
        return {returned}
"""


def source(tmp_path: Path, text: str, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...] = ()) -> Model:
    """The model that ``build()`` in a file with ``text`` (which defines ``Net``) makes."""
    folder = fresh(tmp_path, "source")
    build = "" if "def build" in text else "\ndef build():\n    return Net()\n"
    (folder / "net.py").write_text(f"import torch\nfrom torch import nn\n{text}{build}")
    return materialize(CodeReference(folder / "net.py", "build"), None, inputs, outputs, fresh(tmp_path, "model"))


def export(model: Model, tmp_path: Path, **config: Any) -> PassResult:
    return applied(run_pass(PASS, model, config, tmp_path))


def assert_same_results(before: Model, after: Path, feeds: dict[str, Any]) -> None:
    with open_session(in_runtime(before)) as session:
        expected = session.run(feeds)
    got = outputs_of(after, feeds)
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_an_export_has_the_declared_names_dimensions_and_results(tmp_path: Path, exporter: str) -> None:
    model = source(tmp_path, CNN.format(returned="self.head(embedding)"), IMAGE, ("logits",))
    result = export(model, tmp_path, exporter=exporter)
    exported = open_onnx(result.path)
    assert exported.inputs == IMAGE
    assert [(spec.name, spec.dtype, spec.dynamic_axes) for spec in exported.outputs] == [("logits", "float32", (0,))]
    assert result.notes["exporter"] == exporter
    assert [file.name for file in result.path.parent.iterdir()] == ["model.onnx"]
    assert result.notes["opset"] == 20
    assert set(result.notes["sizes_checked"]["batch"]) >= {1, 2, 3}
    assert_same_results(model, result.path, {"image": np.random.default_rng(0).random((5, 1, 8, 8), np.float32)})


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_output_names_may_equal_the_names_of_values_inside_the_graph(tmp_path: Path, exporter: str) -> None:
    text = CNN.format(returned="self.head(embedding), embedding, image")
    plain = source(tmp_path, text, IMAGE)
    inside = [node.output[0] for node in onnx.load(export(plain, tmp_path, exporter=exporter).path).graph.node]
    names = (inside[0], "conv.weight", inside[1])
    model = source(tmp_path, text, IMAGE, names)
    path = export(model, tmp_path, exporter=exporter).path
    assert tuple(spec.name for spec in open_onnx(path).outputs) == names
    assert_same_results(model, path, {"image": np.ones((3, 1, 8, 8), np.float32)})


def test_weights_keep_the_names_of_the_module(tmp_path: Path) -> None:
    path = export(source(tmp_path, CNN.format(returned="self.head(embedding)"), IMAGE), tmp_path).path
    assert {tensor.name for tensor in onnx.load(path).graph.initializer} >= {"conv.weight", "conv.bias", "head.bias"}


def test_mappings_lists_and_shared_outputs_become_outputs_in_order(tmp_path: Path) -> None:
    text = CNN.format(returned="{'a': self.head(embedding), 'b': [embedding, embedding], 'c': None}")
    model = source(tmp_path, text, IMAGE)
    path = export(model, tmp_path).path
    assert [spec.name for spec in open_onnx(path).outputs] == ["output_0", "output_1", "output_2"]
    assert_same_results(model, path, {"image": np.ones((3, 1, 8, 8), np.float32)})


def test_exporting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (source(tmp_path, CNN.format(returned="embedding"), IMAGE) for _ in range(2))
    for exporter in ("dynamo", "torchscript"):
        written = [export(model, tmp_path, exporter=exporter).path.read_bytes() for model in (first, second)]
        assert written[0] == written[1]
        assert str(tmp_path).encode() not in written[0]


def test_large_weights_go_to_an_external_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "EXTERNAL_DATA_ABOVE", 100)
    text = "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(3, 300)\n"
    model = source(tmp_path, text, (TensorSpec("input", "float32", ("batch", 3)),))
    path = export(model, tmp_path).path
    assert [file.name for file in open_onnx(path).files] == ["model.onnx", "model.onnx.data"]
    assert_same_results(model, path, {"input": np.ones((2, 3), np.float32)})


def test_real_samples_are_traced_with(tmp_path: Path) -> None:
    text = "class Net(nn.Module):\n    def forward(self, x):\n        return x.unflatten(1, (-1, 6)).sum(1)\n"
    model = source(tmp_path, text, MATRIX)
    with pytest.raises(ModelError, match=r"forward\(\) fails on the declared inputs"):
        run_pass(PASS, model, {}, tmp_path)
    samples = {"x": np.random.default_rng(0).random((3, 12), np.float32)}
    result = applied(run_pass(PASS, model, {}, tmp_path, samples=samples))
    assert set(result.notes["sizes_checked"]["columns"]) == {12, 24}


@pytest.mark.parametrize("exporter", ["auto", "torchscript"])
def test_a_branch_on_values_is_one_clear_error(tmp_path: Path, exporter: str) -> None:
    text = "class Net(nn.Module):\n    def forward(self, x):\n        return x if x.sum() > 0 else -x"
    model = source(tmp_path, text, MATRIX)
    (problem,) = problems(model, tmp_path, exporter=exporter)
    assert problem.what == "the model branches on tensor values, so it cannot be traced"
    assert problem.where is not None
    assert problem.where.endswith("net.py:5")
    assert problem.fix is not None
    assert "torch.where" in problem.fix


def net(forward: str, init: str = "pass") -> str:
    """A module whose forward(x) is these lines."""
    body = "".join(f"        {line}\n" for line in forward.splitlines())
    return (
        "import math\nfrom torch.nn import functional as fun\n"
        f"class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {init}\n"
        f"    def forward(self, x):\n{body}"
    )


def problems(model: Model, tmp_path: Path, **config: Any) -> tuple[Problem, ...]:
    with pytest.raises(PassError) as caught:
        run_pass(PASS, model, config, tmp_path)
    return caught.value.problems


@pytest.mark.parametrize("exporter", ["auto", "torchscript"])
def test_a_branch_on_sizes_that_looks_like_one_on_values_is_judged_by_the_sizes(tmp_path: Path, exporter: str) -> None:
    text = net(
        "mask = torch.ones(x.shape[:2])\n"
        "if x.shape[1] + torch.tensor(0) - mask.shape[-1] > 0:\n"
        "    x = x[:, : mask.shape[-1]]\n"
        "return x * 2"
    )
    model = source(tmp_path, text, MATRIX)
    result = export(model, tmp_path, exporter=exporter)
    assert result.notes["exporter"] == "torchscript"
    assert_same_results(model, result.path, {"x": np.random.default_rng(0).random((5, 9), np.float32)})


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_what_a_module_keeps_for_the_last_size_is_not_traced(tmp_path: Path, exporter: str) -> None:
    text = net(
        "if self.shape != x.shape:\n    self.grid, self.shape = torch.arange(x.shape[1]) * 2.0, x.shape\n"
        "return x + self.grid",
        "self.shape, self.grid = None, torch.empty(0)",
    )
    model = source(tmp_path, text, MATRIX)
    path = export(model, tmp_path, exporter=exporter).path
    assert_same_results(model, path, {"x": np.ones((4, 6), np.float32)})


@pytest.mark.parametrize("forward", ["x.sub_(0.5)\nreturn x * 2", "x[:, 0] = 0\nreturn x", "x[x > 0.5] = 0\nreturn x"])
def test_a_forward_that_writes_to_its_input_is_exported_as_it_computes(tmp_path: Path, forward: str) -> None:
    model = source(tmp_path, net(forward), MATRIX)
    values = np.random.default_rng(0).random((5, 4), np.float32)
    for exporter in ("dynamo", "torchscript"):
        path = export(model, tmp_path, exporter=exporter).path
        with open_session(in_runtime(model)) as session:
            expected = session.run({"x": values.copy()})
        np.testing.assert_allclose(outputs_of(path, {"x": values})["output"], expected["output"], rtol=1e-5)


def test_attention_with_a_learned_mask_is_exported_by_dynamo(tmp_path: Path) -> None:
    """The exporter fails at first: fused attention has another layout than what it makes of it."""
    text = net(
        "q = self.proj(x[..., None]).unflatten(2, (2, 4)).transpose(1, 2)\n"
        "place = torch.arange(x.shape[1])\n"
        "bias = self.bias((place[:, None] - place).abs()).permute(2, 0, 1)[None]\n"
        "out = fun.scaled_dot_product_attention(q, q, q, attn_mask=bias)\n"
        "return out.transpose(1, 2).reshape(x.shape[0], x.shape[1], 8)",
        "self.proj, self.bias = nn.Linear(1, 8), nn.Embedding(20, 2)",
    )
    model = source(tmp_path, text, MATRIX)
    result = export(model, tmp_path)
    assert result.notes["exporter"] == "dynamo"
    assert_same_results(model, result.path, {"x": np.random.default_rng(0).random((5, 9), np.float32)})


@pytest.mark.process
@pytest.mark.parametrize("size", ["round(x.shape[1] * 1.5)", "int(math.sqrt(x.shape[1]) * 2)"])
def test_what_python_computes_of_a_size_stays_dynamic(tmp_path: Path, size: str) -> None:
    """In a worker, as a run does it: dynamo looks modules up by their names, and those of all tests here are one."""
    model = source(tmp_path, net(f"return fun.interpolate(x[:, None], size={size})"), MATRIX)
    context = Context(fresh(tmp_path, "out"), Target(), Objective.LATENCY, PLAIN_X86)
    result = applied(run_in_worker(tmp_path / "export.log", PASS.run, model, PASS.config(), context))
    assert result.notes["exporter"] == "dynamo"
    assert_same_results(model, result.path, {"x": np.random.default_rng(0).random((3, 7), np.float32)})


def test_a_graph_that_does_not_hold_gives_the_other_exporter_its_turn(tmp_path: Path) -> None:
    model = source(tmp_path, net("return x.squeeze(0) * 2"), (TensorSpec("x", "float32", ("batch", 3, "columns")),))
    result = export(model, tmp_path)
    assert result.notes["exporter"] == "torchscript"
    assert "the exported graph does not give what the module gives" in result.notes["because"]
    assert_same_results(model, result.path, {"x": np.ones((1, 3, 4), np.float32)})


def test_when_both_exporters_fail_both_say_why_and_the_log_has_it_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = source(tmp_path, net("return torch.linalg.svd(x)[1]"), MATRIX)
    first, second = problems(model, tmp_path)
    assert first.what == "PyTorch cannot export the model: the dynamo exporter failed"
    assert second.what == "PyTorch cannot export the model: the torchscript exporter failed"
    assert first.where == second.where
    assert str(first.where).endswith("net.py:10")
    assert "_linalg_svd" in str(first.got)
    assert "aten::linalg_svd" in str(second.got)
    assert first.fix == second.fix == (
        "compute it from other operators in forward(), or leave it out of the model and do it after the model"
    )  # fmt: skip
    dynamo, torchscript = (record for record in caplog.records if record.name == "mlopt.passes.export")
    assert "OnnxExporterError" in str(dynamo.exc_info) or "ConversionError" in str(dynamo.exc_info)
    assert "UnsupportedOperatorError" in str(torchscript.exc_info)


def test_an_exception_of_the_model_while_it_is_traced_is_told_with_its_line(tmp_path: Path) -> None:
    text = net("if torch.compiler.is_exporting() or torch.jit.is_tracing():\n    raise KeyError('mode')\nreturn x")
    (first, second) = problems(source(tmp_path, text, MATRIX), tmp_path)
    assert str(first.where).endswith("net.py:11")
    assert str(second.where).endswith("net.py:11")
    assert first.got == second.got == "KeyError: 'mode'"


@pytest.mark.parametrize(
    ("forward", "line"),
    [
        ("y = x[x > 0.5]\nreturn x + y.sum() if y.numel() > 0 else x", 11),
        ("m = torch.zeros(x.shape)\nm[:, 0] = x[:, 0]\nreturn x if m.any() else -x", 12),
        ("return x - x.data.mean()", 10),
        ("return x * float(x.detach().numpy().max())", 10),
    ],
)
def test_values_that_the_tracer_would_freeze_are_refused_with_their_line(
    tmp_path: Path, forward: str, line: int
) -> None:
    (problem,) = problems(source(tmp_path, net(forward), MATRIX), tmp_path, exporter="torchscript")
    assert problem.what == "the model branches on tensor values, so it cannot be traced"
    assert str(problem.where).endswith(f"net.py:{line}")


@pytest.mark.parametrize("first", ["torch.arange(x.shape[0])[:, None]", "x.mean()"])
def test_what_a_module_keeps_of_its_first_input_is_named_not_blamed_on_sizes(tmp_path: Path, first: str) -> None:
    text = net(f"if self.kept is None:\n    self.kept = {first}\nreturn x + self.kept", "self.kept = None")
    (problem,) = problems(source(tmp_path, text, MATRIX), tmp_path)
    assert problem.what == "forward() keeps something of its first input, and uses it for other inputs"


@pytest.mark.parametrize(
    "how", ["p=1.0", "p=0.0", "p=3.0", "p=math.inf", "compute_mode='donot_use_mm_for_euclid_dist'"]
)
def test_distances_are_exported_as_they_are_computed(tmp_path: Path, how: str) -> None:
    model = source(tmp_path, "import math\n" + net(f"return torch.cdist(x, x[:3], {how})"), MATRIX)
    result = export(model, tmp_path)
    assert result.notes["exporter"] == "dynamo"
    assert_same_results(model, result.path, {"x": np.random.default_rng(0).random((40, 3), np.float32)})


def test_distances_by_a_matrix_product_are_named_not_blamed_on_sizes(tmp_path: Path) -> None:
    model = source(tmp_path, net("return torch.cdist(x, x)"), (TensorSpec("x", "float32", ("batch", "n", 3)),))
    found = problems(model, tmp_path)
    assert all("compute_mode='donot_use_mm_for_euclid_dist'" in str(problem.fix) for problem in found)


@pytest.mark.parametrize("text", ["str(x)", "f'{x.sum():.2f}'", "'%s' % x"])
def test_a_branch_on_the_text_of_a_tensor_is_refused_though_no_sample_shows_it(tmp_path: Path, text: str) -> None:
    model = source(tmp_path, net(f"return x if 'nan' not in {text} else x * 0"), MATRIX)
    (problem,) = problems(model, tmp_path)
    assert problem.what == "forward() makes text of a tensor, which no exported graph can do"
    assert str(problem.where).endswith("net.py:10")


def test_values_that_an_exporter_froze_unseen_are_found_with_other_values(tmp_path: Path) -> None:
    """The sign of the fourth value, read behind PyTorch's back, decides."""
    model = source(tmp_path, net("return x * 2 if x.detach().untyped_storage()[15] < 128 else x"), MATRIX)
    (problem,) = problems(model, tmp_path, exporter="torchscript")
    assert problem.what == "the exported graph does not hold for other values of the inputs"


def test_a_model_that_does_not_repeat_itself_is_not_blamed_on_sizes(tmp_path: Path) -> None:
    (problem,) = problems(source(tmp_path, net("return x + torch.rand_like(x)"), MATRIX), tmp_path)
    assert problem.what == "the model does not give the same twice"


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_the_fast_path_of_a_transformer_is_named(tmp_path: Path) -> None:
    layer = "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)"
    forward = "return self.layers(x[..., None].expand(-1, -1, 8), src_key_padding_mask=x > 0.9)"
    model = source(tmp_path, net(forward, f"self.layers = {layer}"), MATRIX)
    (problem,) = problems(model, tmp_path, exporter="torchscript")
    assert "enable_nested_tensor=False" in str(problem.fix)


@pytest.mark.parametrize("condition", ["x.shape[0] > 3", "x.shape[0] == 1", "x.shape[1] % 3 == 0"])
def test_a_branch_on_sizes_is_never_a_wrong_graph(tmp_path: Path, condition: str) -> None:
    text = f"class Net(nn.Module):\n    def forward(self, x):\n        return x * 2 if {condition} else x + 1\n"
    with pytest.raises(PassError, match="every size of a dynamic dimension"):
        run_pass(PASS, source(tmp_path, text, MATRIX), {}, tmp_path)


def test_a_size_that_the_module_refuses_is_a_limit_not_an_error(tmp_path: Path) -> None:
    text = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.places = nn.Embedding(6, 4)\n"
        "    def forward(self, x):\n        return self.places(torch.arange(x.shape[1]))[None] + x[..., None]\n"
    )
    result = export(source(tmp_path, text, MATRIX), tmp_path)
    assert result.notes["sizes_checked"]["columns"] == [3, 1, 4, 6]


KEEP = "torch.arange(x.shape[1]) * 1.0\nreturn x + "
CACHES = {
    "for the last shape": (
        f"if self.shape != x.shape:\n    self.shape, self.kept = x.shape, {KEEP}self.kept",
        "self.shape, self.kept = None, torch.empty(0)",
    ),
    "by size": (f"n = x.shape[1]\nif n not in self.kept:\n    self.kept[n] = {KEEP}self.kept[n]", "self.kept = {}"),
    "in a buffer": (
        f"if x.shape[1] != self.size:\n    self.size = x.shape[1]\n    self.kept = {KEEP}self.kept",
        "self.size = 0\nself.register_buffer('kept', torch.zeros(1), persistent=False)",
    ),
    "in a global": (
        f"global SHAPE, KEPT\nif SHAPE != x.shape:\n    SHAPE, KEPT = x.shape, {KEEP}KEPT", "pass",
    ),
    "at the first call": (f"if self.kept is None:\n    self.kept = {KEEP}self.kept", "self.kept = None"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The tensor attribute:UserWarning")
@pytest.mark.parametrize("name", CACHES)
def test_what_a_forward_keeps_for_a_size_is_not_in_the_graph(tmp_path: Path, name: str) -> None:
    forward, init = (part.replace("\n", "\n        ") for part in CACHES[name])
    text = (
        "SHAPE = KEPT = None\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        {init}\n    def forward(self, x):\n        {forward}\n"
    )
    result = export(source(tmp_path, text, MATRIX), tmp_path)
    assert len(result.notes["sizes_checked"]["columns"]) == 5
    for size in (3, 8):
        got = outputs_of(result.path, {"x": np.zeros((2, size), np.float32)})
        np.testing.assert_array_equal(got["output"], [np.arange(size)] * 2)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("forward", ["x.sub_(1).mul_(2)\n        return x + 1", "x[:, 0] = 7\n        return x, x * 2"])
def test_a_forward_that_writes_to_its_input_is_exported_right(tmp_path: Path, forward: str, exporter: str) -> None:
    model = source(tmp_path, f"class Net(nn.Module):\n    def forward(self, x):\n        {forward}\n", MATRIX)
    feeds = {"x": np.random.default_rng(0).random((3, 5), np.float32)}
    before = feeds["x"].copy()
    assert_same_results(model, export(model, tmp_path, exporter=exporter).path, feeds)
    np.testing.assert_array_equal(feeds["x"], before)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_module_keeps_its_branches(tmp_path: Path) -> None:
    text = (
        "class Net(nn.Module):\n    def forward(self, x):\n"
        "        if bool(x.sum() > 0):\n            return x\n        return x - 1\n"
        "def build():\n    return torch.jit.script(Net())\n"
    )
    model = source(tmp_path, text, MATRIX)
    result = export(model, tmp_path)
    assert result.notes["because"] == "the model is a scripted module"
    for value in (1, -1):
        assert_same_results(model, result.path, {"x": np.full((2, 3), value, np.float32)})
    with pytest.raises(PassError, match="takes no scripted module"):
        run_pass(PASS, model, {"exporter": "dynamo"}, tmp_path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_module_inside_another_keeps_its_branches(tmp_path: Path) -> None:
    text = (
        "class Part(nn.Module):\n    def forward(self, x):\n"
        "        if bool(x.sum() > 0):\n            return x\n        return x - 1\n"
        "class Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.part = torch.jit.script(Part())\n"
        "    def forward(self, x):\n        return self.part(x) * 2\n"
    )
    model = source(tmp_path, text, MATRIX)
    result = export(model, tmp_path)
    for value in (1, -1):
        assert_same_results(model, result.path, {"x": np.full((2, 3), value, np.float32)})


def test_a_program_of_torch_export_is_exported_with_declared_dimensions(tmp_path: Path) -> None:
    import torch

    program = torch.export.export(
        torch.nn.Linear(4, 3), (torch.ones(2, 4),), dynamic_shapes={"input": {0: torch.export.Dim.DYNAMIC}}
    )
    torch.export.save(program, tmp_path / "linear.pt2")
    inputs = (TensorSpec("features", "float32", ("batch", 4)),)
    model = open_program(tmp_path / "linear.pt2", inputs, ("scores",))
    path = export(model, tmp_path).path
    assert open_onnx(path).inputs == inputs
    assert_same_results(model, path, {"features": np.ones((5, 4), np.float32)})


def test_old_opsets_are_written_by_torchscript(tmp_path: Path) -> None:
    model = source(tmp_path, CNN.format(returned="self.head(embedding)"), IMAGE)
    result = export(model, tmp_path, opset=13)
    assert (result.notes["exporter"], result.notes["opset"]) == ("torchscript", 13)
    assert "opset 13" in result.notes["because"]


def test_an_input_that_forward_does_not_use_stays_an_input(tmp_path: Path) -> None:
    text = "class Net(nn.Module):\n    def forward(self, x, mask):\n        return x + 1\n"
    inputs = (*MATRIX, TensorSpec("mask", "bool", ("batch",)))
    model = source(tmp_path, text, inputs)
    for exporter in ("dynamo", "torchscript"):
        assert open_onnx(export(model, tmp_path, exporter=exporter).path).inputs == inputs


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"opset": 13, "exporter": "dynamo"}, "writes opset 18 and later"),
        ({"opset": 21, "exporter": "torchscript"}, "writes opset 20 at most"),
        ({"opset": 24}, "less than or equal to 23"),
        ({"opsets": 20}, "Extra inputs"),
    ],
)
def test_a_configuration_that_cannot_be_met_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PASS.config(**config)
