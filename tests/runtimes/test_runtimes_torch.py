from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deployables import in_runtime

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.source import materialize
from mlopt.runtimes.table import open_session
from mlopt.runtimes.torch import about

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

PAIR = (TensorSpec("b", "float32", ("batch", 2)), TensorSpec("a", "float32", ("batch", 2)))
FEEDS = {"a": np.full((3, 2), 5, np.float32), "b": np.full((3, 2), 2, np.float32)}

NET = """
import torch
from dataclasses import dataclass

@dataclass
class Out:
    first: object
    second: object

class Net(torch.nn.Module):
    {forward}

def build():
    return Net()
"""


def run(tmp_path: Path, forward: str, outputs: tuple[str, ...] = (), feeds: dict[str, np.ndarray] | None = None):
    """Run a module whose ``forward`` has this text."""
    code = tmp_path / "net.py"
    code.write_text(NET.format(forward=forward))
    (tmp_path / "model").mkdir()
    model = materialize(CodeReference(code, "build"), None, PAIR, outputs, tmp_path / "model")
    with open_session(in_runtime(model)) as session:
        return session.run(FEEDS if feeds is None else feeds)


def test_inputs_are_passed_by_name_whatever_their_order(tmp_path: Path) -> None:
    np.testing.assert_array_equal(run(tmp_path, "def forward(self, a, b): return a - b")["output"], 3)


def test_inputs_are_passed_by_position_where_forward_has_other_names(tmp_path: Path) -> None:
    np.testing.assert_array_equal(run(tmp_path, "def forward(self, x, y): return x - y")["output"], -3)


@pytest.mark.parametrize("value", ["(a, b)", "[a, [b]]", "{'p': a, 'q': b}", "Out(a, b)", "(a, None, b)"])
def test_structured_outputs_are_flattened_in_order(tmp_path: Path, value: str) -> None:
    got = run(tmp_path, f"def forward(self, a, b): return {value}")
    assert list(got) == ["output_0", "output_1"]
    np.testing.assert_array_equal(got["output_0"], FEEDS["a"])
    np.testing.assert_array_equal(got["output_1"], FEEDS["b"])


def test_outputs_have_their_declared_names(tmp_path: Path) -> None:
    assert list(run(tmp_path, "def forward(self, a, b): return a, b", ("left", "right"))) == ["left", "right"]


def test_another_number_of_outputs_than_declared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="another number of outputs than declared"):
        run(tmp_path, "def forward(self, a, b): return a, b", ("only",))


def test_a_failing_forward_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"forward\(\) failed") as caught:
        run(tmp_path, "def forward(self, a, b): return a @ b")
    assert caught.value.problems[0].where == f"{tmp_path / 'net.py'}:11"


def test_an_output_that_is_no_tensor_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a tensor"):
        run(tmp_path, "def forward(self, a, b): return 'text'")


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="lacks input 'a'"):
        run(tmp_path, "def forward(self, a, b): return a", feeds={"b": FEEDS["b"]})


def test_read_only_arrays_are_taken_without_a_warning(tmp_path: Path) -> None:
    array = np.full((3, 2), 2, np.float32)
    array.setflags(write=False)
    got = run(tmp_path, "def forward(self, a, b): return b", feeds={"a": array, "b": array})
    np.testing.assert_array_equal(got["output"], array)


def test_the_process_gets_its_threads_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    run(tmp_path, "def forward(self, a, b): return a + torch.get_num_threads()")
    assert torch.get_num_threads() == before


def test_a_gpu_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    (tmp_path / "net.py").write_text("import torch\ndef build():\n    return torch.nn.ReLU()\n")
    (tmp_path / "model").mkdir()
    model = materialize(CodeReference(tmp_path / "net.py", "build"), None, PAIR[:1], (), tmp_path / "model")
    with (
        pytest.raises(MissingPackage, match="cannot use a CUDA GPU"),
        open_session(in_runtime(model, device="cuda")),
    ):
        pytest.fail("a session was opened")


def test_it_tells_where_and_with_what_it_computes() -> None:
    found = about()
    assert found["devices"] == ("cpu, cuda" if torch.cuda.is_available() else "cpu")
    assert found["kernels"] == torch.backends.cpu.get_cpu_capability()
