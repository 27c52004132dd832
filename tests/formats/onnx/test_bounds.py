"""What a small file can ask for is predicted from the graph, and no more than any model needs is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from small_files import FLOAT, constant, doubling, endless, function, make, recursive, saved, value

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.bounds import check_bounds

Write = Callable[[Path], Path]


@given(st.integers(0, 12), st.integers(1, 4))
def test_functions_count_as_often_as_they_are_called(depth: int, width: int) -> None:
    """As many nodes as there are when every call is replaced by its body, and no more than that is refused."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        chain = (function("d0", "Relu"), *(function(f"d{k}", *[f"d{k - 1}"] * width) for k in range(1, depth + 1)))
        path = saved(Path(folder) / "m.onnx", [make(f"d{depth}", ["x"], ["y"], domain="f")], [1], functions=chain)
        proto = onnx.load(path)
    if width**depth > 1 << 19:
        with pytest.raises(ModelError, match="asks for more"):
            check_bounds(path, proto)
    else:
        check_bounds(path, proto)


def test_loops_that_end_are_written_with_the_largest_count(tmp_path: Path) -> None:
    """As PyTorch's exporter writes ``while``: the body computes the condition."""
    body = helper.make_graph(
        [
            make("ReduceSum", ["v"], ["s"], keepdims=0), make("Less", ["s", "most"], ["co"]),
            make("Add", ["v", "v"], ["vo"]),
        ],
        "b", [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", FLOAT, [1])],
        [value("co", TensorProto.BOOL, []), value("vo", FLOAT, [1])],
    )  # fmt: skip
    held = (constant("n", 2**63 - 1), constant("t", True, bool), constant("most", 9.0, np.float32))
    path = saved(tmp_path / "m.onnx", [make("Loop", ["n", "t", "x"], ["y"], body=body)], [1], held)
    check_bounds(path, onnx.load(path))


def of(*nodes: onnx.NodeProto, held: tuple[onnx.TensorProto, ...] = (), shape: tuple[int, ...] = (1,)) -> Write:
    return lambda path: saved(path, list(nodes), list(shape), held)


ASKS: dict[str, tuple[Write, str]] = {
    "doubling functions": (doubling, "nodes"),
    "a loop without end": (endless, "rounds"),
    "a loop without a count": (lambda path: endless(path, None), "no end of rounds"),
    "a large input": (of(make("Relu", ["x"], ["y"]), shape=(2**31, 2)), "values"),
    "a large weight": (
        of(make("Relu", ["w"], ["y"]), held=(TensorProto(name="w", dims=[2**40], data_type=1),)), "tensor 'w'"
    ),
    "a large constant": (
        of(make("Constant", [], ["s"], value_ints=[2**33]), make("ConstantOfShape", ["s"], ["y"], name="n")),
        "node 'n' (ConstantOfShape)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKS)
def test_what_is_asked_for_is_told_with_where(tmp_path: Path, name: str) -> None:
    write, said = ASKS[name]
    path = write(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="the model asks for more than can be computed") as caught:
        check_bounds(path, onnx.load(path))
    problem = caught.value.problems[0]
    assert said in f"{problem.where} {problem.got}"
    assert problem.expected is not None
    assert problem.fix is not None


def test_a_function_that_calls_itself_is_told_with_its_circle(tmp_path: Path) -> None:
    path = recursive(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="a function of the model calls itself") as caught:
        check_bounds(path, onnx.load(path))
    assert set((caught.value.problems[0].got or "").split(" -> ")) == {"f:a", "f:b"}


def counted(*values: int) -> Write:
    return of(make("Range", ["a", "b", "c"], ["y"]), held=tuple(map(constant, "abc", values)))


FINE: dict[str, Write] = {
    "as much as is allowed": of(make("Relu", ["x"], ["y"]), shape=(2**31,)),
    "a loop of some rounds": lambda path: endless(path, 1 << 24),
    "a range backwards": counted(9, 0, -1),
    "a range that does not move": counted(0, 9, 0),
    "a reshape to what is left": of(make("Reshape", ["x", "s"], ["y"]), held=(constant("s", [-1]),), shape=(4,)),
    "a size that only a run tells": of(make("Cast", ["x"], ["s"], to=7), make("ConstantOfShape", ["s"], ["y"])),
    "a constant whose data are not there": of(
        make("Expand", ["x", "s"], ["y"]), held=(TensorProto(name="s", dims=[3], data_type=7),)
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_models_need_is_let_through(tmp_path: Path, name: str) -> None:
    path = FINE[name](tmp_path / "m.onnx")
    check_bounds(path, onnx.load(path))
