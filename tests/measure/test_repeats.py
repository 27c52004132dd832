"""Models that do not give the same answer twice, and what is said of them; those that only look like it pass."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper

from mlopt.core.errors import ModelError
from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.candidate import Candidate
from mlopt.measure.outputs import write_outputs

Run = Callable[..., Any]
FLOAT = TensorProto.FLOAT


@pytest.fixture
def twice(tmp_path: Path) -> Run:
    """``twice(model, batch_size)``: evaluate a source of one input x, [batch, 4]; returns what is said against it."""

    def run(model: Model, batch_size: int = 2, count: int = 7) -> str | None:
        values = np.random.default_rng(0).random((count, 4)).astype(np.float32)
        dataset: Dataset = store(Samples({"x": values}), tmp_path / "data", "random")
        (tmp_path / "out").mkdir(exist_ok=True)
        try:
            write_outputs(Candidate("source", in_runtime(model)), dataset, batch_size, tmp_path / "out", twice=True)
        except ModelError as error:
            return str(error)
        return None

    return run


def value(name: str, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, None)


def saved(folder: Path, nodes: list[Any], functions: tuple[Any, ...] = (), kind: int = FLOAT, **more: Any) -> Model:
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", FLOAT, ["batch", 4])], [value("y", kind)])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid("own", 1)] if functions else [])]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))
    onnx.save(proto, folder / "model.onnx")
    return open_onnx(folder / "model.onnx")


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


NOISY: dict[str, list[Any]] = {
    "RandomNormalLike ('noise')": [node("RandomNormalLike", "x", "z", name="noise"), node("Add", "x z", "y")],
    "RandomUniformLike, which makes 'z'": [node("RandomUniformLike", "x", "z", seed=1.0), node("Add", "x z", "y")],
    "RandomNormal, which makes 'z'": [node("RandomNormal", "", "z", shape=[1, 4]), node("Add", "x z", "y")],
    "Bernoulli, which makes 'y'": [node("Bernoulli", "x", "y", seed=3.0)],
}


@pytest.mark.parametrize("named", NOISY)
def test_a_random_operator_is_named(named: str, twice: Run, tmp_path: Path) -> None:
    said = twice(saved(tmp_path, NOISY[named]))
    assert "the model is random: the same input gives other outputs each time" in said
    assert named in said
    assert "; 7 of 7 samples differ" in said
    assert "make the noise an input of the model" in said
    assert "a `seed` does not help" in said


def test_classes_that_are_drawn(twice: Run, tmp_path: Path) -> None:
    assert "Multinomial" in twice(
        saved(tmp_path, [node("Multinomial", "x", "y", sample_size=3)], kind=TensorProto.INT32)
    )


def test_a_random_operator_in_a_branch_is_found(twice: Run, tmp_path: Path) -> None:
    bodies = {
        f"{way}_branch": helper.make_graph(nodes, way, [], [value(f"{way}_out")])
        for way, nodes in {
            "then": [node("RandomNormalLike", "x", "then_out", name="drawn")],
            "else": [node("Identity", "x", "else_out")],
        }.items()
    }
    nodes = [node("ReduceSum", "x", "sum", keepdims=0), node("Constant", "", "zero", value_float=0.0),
             node("Greater", "sum zero", "yes"), node("If", "yes", "y", name="branch", **bodies)]  # fmt: skip
    assert "RandomNormalLike ('drawn'), in If 'branch'" in twice(saved(tmp_path, nodes))


def test_a_random_operator_in_a_function_is_found(twice: Run, tmp_path: Path) -> None:
    body = [node("RandomNormalLike", "a", "n", name="inner"), node("Add", "a n", "b")]
    noisy = helper.make_function("own", "Noisy", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    said = twice(saved(tmp_path, [helper.make_node("Noisy", ["x"], ["y"], domain="own", name="call")], (noisy,)))
    assert "RandomNormalLike" in said
    assert "in Noisy 'call'" in said


def test_noise_that_reaches_no_output_is_no_fault(twice: Run, tmp_path: Path) -> None:
    assert twice(saved(tmp_path, [node("RandomNormalLike", "x", "z"), node("Relu", "x", "y")])) is None
    zero = [node("RandomNormalLike", "x", "z", scale=1e-9), node("Add", "x z", "y")]
    assert twice(saved(tmp_path, zero)) is None


def test_a_dropout_that_still_trains(twice: Run, tmp_path: Path) -> None:
    ratio, on = (node("Constant", "", name, value=helper.make_tensor(name, kind, [], [number]))
                 for name, kind, number in (("ratio", FLOAT, 0.5), ("on", TensorProto.BOOL, True)))  # fmt: skip
    assert "Dropout ('drop')" in twice(saved(tmp_path, [ratio, on, node("Dropout", "x ratio on", "y", name="drop")]))
    assert twice(saved(tmp_path, [node("Dropout", "x", "y")])) is None


def test_statistics_that_are_written_into_a_shared_constant(twice: Run, tmp_path: Path) -> None:
    """onnxruntime keeps the running mean and variance where they were read, and there the scale and the bias are."""
    ones, zeros = (node("Constant", "", name, value=helper.make_tensor(name, FLOAT, [4], [number] * 4))
                   for name, number in (("ones", 1.0), ("zeros", 0.0)))  # fmt: skip
    norm = node("BatchNormalization", "x ones zeros zeros ones", "y mean variance", name="norm", training_mode=1)
    said = twice(saved(tmp_path, [ones, zeros, norm]))
    assert "the model keeps state between calls" in said
    assert "changed by a call: BatchNormalization 'norm'" in said
    assert "call `model.eval()` and export the model again" in said


HEAD = """
import random, time
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
"""


@pytest.fixture
def built(tmp_path: Path) -> Run:
    """``built(body)``: a PyTorch source, of the methods of its module, or of a whole file with ``build``."""
    from mlopt.formats.torch.source import materialize

    def make(code: str) -> Model:
        code = textwrap.dedent(code)
        if "build" not in code:
            code = f"class Net(nn.Module):\n{textwrap.indent(code, '    ')}\ndef build():\n    return Net()\n"
        (tmp_path / "net.py").write_text(HEAD + code)
        (tmp_path / "model").mkdir(exist_ok=True)
        inputs = (TensorSpec("x", "float32", ("batch", 4)),)
        return materialize(CodeReference(tmp_path / "net.py", "build"), None, inputs, (), tmp_path / "model")

    return make


RANDOM = {
    "randn_like at ": "def forward(self, x):\n    return x + torch.randn_like(x)\n",
    "dropout": "def forward(self, x):\n    return F.dropout(x)\n",
    "bernoulli": "def forward(self, x):\n    return torch.bernoulli(x)\n",
    "multinomial": "def forward(self, x):\n    return torch.multinomial(x, 2)\n",
    "rand": "def forward(self, x):\n    return x[:, :1] if torch.rand(()) > 2 else x * torch.rand(())\n",
    "drawn from NumPy's `numpy.random`": "def forward(self, x):\n    return x + float(np.random.rand())\n",
    "drawn from Python's `random`": "def forward(self, x):\n    return x + random.random()\n",
    "attribute 'rng', a random generator": """
def __init__(self):
    super().__init__()
    self.rng = np.random.default_rng(0)
def forward(self, x):
    return x + self.rng.random()
""",
}


@pytest.mark.heavy
@pytest.mark.parametrize("named", RANDOM)
def test_what_a_module_draws_from_is_named(named: str, twice: Run, built: Run) -> None:
    said = twice(built(RANDOM[named]))
    assert "net.py:build: the model is random" in said
    assert named in said
    assert "of dropout(), pass training=self.training" in said


STATEFUL = {
    "buffer 'calls'": """
def __init__(self):
    super().__init__()
    self.register_buffer("calls", torch.zeros(()))
def forward(self, x):
    self.calls += 1
    return x * self.calls
""",
    "attribute 'hidden'": """
def __init__(self):
    super().__init__()
    self.hidden = None
def forward(self, x):
    last = 0 if self.hidden is None else self.hidden
    self.hidden = x[:1].clone()
    return x + last
""",
    "attribute 'seen'": """
def __init__(self):
    super().__init__()
    self.seen = []
def forward(self, x):
    self.seen.append(len(x))
    return x + len(self.seen)
""",
    "attribute 'even'": """
def __init__(self):
    super().__init__()
    self.even = False
def forward(self, x):
    self.even = not self.even
    return x if self.even else -x
""",
    "class attribute 'Net.count'": """
count = 0
def forward(self, x):
    Net.count += 1
    return x + Net.count
""",
    "global variable 'COUNT'": """
def forward(self, x):
    COUNT[0] += 1
    return x + COUNT[0]
COUNT = None
def build():
    global COUNT
    COUNT = [0]
    return type("Net", (nn.Module,), {"forward": forward})()
""",
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("named", STATEFUL)
def test_what_a_module_remembers_is_named(named: str, count: int, twice: Run, built: Run) -> None:
    said = twice(built(STATEFUL[named]), count=count)
    assert "the model keeps state between calls" in said
    assert f"changed by a call: {named}" in said
    assert "take the state as an input" in said


@pytest.mark.parametrize(
    ("named", "made", "kept"),
    [
        ("attribute 'mean'", "self.mean = None", "self.mean = x.mean() if self.mean is None else self.mean"),
        (
            "buffer 'mean'", "self.register_buffer('mean', torch.zeros(()))",
            "self.mean.copy_(torch.where(self.mean == 0, x.mean(), self.mean))",
        ),
    ],
)  # fmt: skip
def test_what_a_module_keeps_of_the_first_that_it_sees_is_named(
    named: str, made: str, kept: str, twice: Run, built: Run
) -> None:
    body = f"def __init__(self):\n    super().__init__()\n    {made}\ndef forward(self, x):\n    {kept}\n"
    said = twice(built(f"\n{body}    return x - self.mean\n"), count=6)
    assert "the model keeps state between calls" in said
    assert f"changed by a call: {named}" in said


def test_a_clock_is_seen_to_be_something_else(twice: Run, built: Run) -> None:
    said = twice(built("def forward(self, x):\n    return x + time.perf_counter_ns() % 997\n"))
    assert "the model does not repeat itself" in said
    assert "look for a clock" in said


def test_what_is_drawn_at_building_is_no_state(twice: Run, built: Run) -> None:
    model = built(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = 1 + __import__('os').urandom(4)[0]  # no seed sets this

            def forward(self, x):
                return x * self.scale

        def build():
            return Net()
        """
    )
    assert "the model is not built alike twice" in twice(model)


HARMLESS = {
    "a dropout that evaluates": """
def __init__(self):
    super().__init__()
    self.drop = nn.Dropout(0.5)
def forward(self, x):
    return self.drop(F.dropout(x, training=self.training))
""",
    "what is kept and never read": """
def forward(self, x):
    self.last = x
    return x * 2
""",
    "a state that is set anew": """
def forward(self, x):
    self.total = torch.zeros(len(x))
    self.total = self.total + x.sum(1)
    return self.total
""",
    "noise that is not used": "def forward(self, x):\n    torch.randn_like(x)\n    return x\n",
    "answers that depend on the batch": "def forward(self, x):\n    return x - x.mean(0)\n",
}


@pytest.mark.parametrize("what", HARMLESS)
def test_a_module_that_repeats_itself_is_left_alone(what: str, twice: Run, built: Run) -> None:
    assert twice(built(HARMLESS[what]), batch_size=3) is None
