"""The sizes at which the graph is held against the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")

from mlopt.core.errors import PassError  # noqa: E402
from mlopt.formats.model import Model, TensorSpec  # noqa: E402
from mlopt.formats.onnx.file import open_onnx  # noqa: E402
from mlopt.formats.torch.module import Flat  # noqa: E402
from mlopt.passes.exporting.examples import example_inputs  # noqa: E402
from mlopt.passes.exporting.size_guards import Probe  # noqa: E402
from mlopt.passes.exporting.traced_sizes import check_sizes, dimensions  # noqa: E402

X = (TensorSpec("x", "float32", ("batch", "n")),)


def graph(path: Path, *nodes: Any) -> Model:
    """A graph from ``x`` to ``y``, both [batch, n]."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "n"]) for name in "xy"]
    made = helper.make_graph(list(nodes), "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return open_onnx(path)


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Does what it is told, and counts how it was called."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.does = does

    def forward(self, x: Any) -> Any:
        return self.does(x)


def checked(path: Path, does: Any, **more: Any) -> dict[str, list[int]]:
    """Hold ``relu`` as a graph against a module, from what example inputs there are without samples."""
    model = graph(path / "m.onnx", helper.make_node("Relu", ["x"], ["y"]))
    return check_sizes(model, Flat(Net(does), 1, ()), X, example_inputs(X, None), threads=1, **more)


def test_dimensions_are_those_that_are_free() -> None:
    specs = (TensorSpec("a", "float32", ("batch", 5, "n")), TensorSpec("b", "float32", (7,)))
    assert dimensions(specs, [np.zeros((2, 5, 9)), np.zeros(7)]) == {"batch": 2, "n": 9}


def test_a_graph_that_holds_everywhere_says_at_which_sizes(tmp_path: Path) -> None:
    found = checked(tmp_path, torch.relu)
    assert found == {"batch": [2, 1, 3, 4, 9], "n": [3, 1, 4, 6, 13]}


def test_a_size_that_the_module_refuses_is_left_out(tmp_path: Path) -> None:
    def small(x: Any) -> Any:
        if x.shape[1] > 4:
            raise ValueError("too long")
        return torch.relu(x)

    assert checked(tmp_path, small)["n"] == [3, 1, 4]


def test_a_size_at_which_they_differ_is_named_with_the_line_that_read_it(tmp_path: Path) -> None:
    def branches(x: Any) -> Any:
        return torch.relu(x) if x.shape[0] < 4 else x + 1

    with pytest.raises(PassError, match="every size of a dynamic dimension") as caught:
        checked(tmp_path, branches, branches=["net.py:7"])
    (problem,) = caught.value.problems
    assert problem.where == "model.inputs: dimension 'batch'"
    assert str(problem.got).startswith("at batch = 4: ")
    assert problem.expected == "what the module gives; it was traced at batch = 2"
    assert "net.py:7" in str(problem.fix)


def test_a_probe_finds_what_no_usual_size_shows(tmp_path: Path) -> None:
    def branches(x: Any) -> Any:
        return torch.relu(x) if tuple(x.shape) != (5, 50) else x + 1

    assert checked(tmp_path, branches)
    with pytest.raises(PassError) as caught:
        checked(tmp_path, branches, probes=[Probe({"batch": 5, "n": 50}, "net.py:7")])
    assert str(caught.value.problems[0].got).startswith("at batch = 5, n = 50: ")


def test_a_probe_that_would_be_too_large_is_not_made(tmp_path: Path) -> None:
    seen = []

    def watches(x: Any) -> Any:
        seen.append(x.numel())
        return torch.relu(x)

    checked(tmp_path, watches, probes=[Probe({"batch": 1 << 20, "n": 1 << 20}, None)])
    assert max(seen) < 1000


def test_values_come_before_sizes(tmp_path: Path) -> None:
    """What was traced is all positive, so that the sign alone tells the two apart."""
    others = example_inputs(X, None, seed=1)
    with pytest.raises(PassError, match="does not hold for other values"):
        checked(tmp_path, lambda x: x, others=others)


def test_a_difference_on_what_was_traced_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="the exported graph does not give what the module gives"):
        checked(tmp_path, lambda x: x + 1)
    with pytest.raises(PassError, match="does not give the same twice"):
        checked(tmp_path, lambda x: x + torch.rand(()) + 1)


def test_what_a_module_keeps_of_an_earlier_input_is_found(tmp_path: Path) -> None:
    class Keeps(torch.nn.Module):  # type: ignore[misc, name-defined]
        kept = None

        def forward(self, x: Any) -> Any:
            if self.kept is None:
                self.kept = x.mean()
            return torch.relu(x) + self.kept - self.kept if self.kept == x.mean() else torch.relu(x) + 1

    model = graph(tmp_path / "m.onnx", helper.make_node("Relu", ["x"], ["y"]))
    with pytest.raises(PassError, match="keeps something of its first input"):
        check_sizes(
            model, Flat(Keeps(), 1, ()), X, example_inputs(X, None), threads=1, others=example_inputs(X, None, 1)
        )
