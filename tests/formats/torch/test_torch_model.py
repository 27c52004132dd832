"""PyTorch models on disk, opened again: a directory that says how to build one, or a program."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from deployables import in_runtime
from torch_sources import INPUTS, make, write

from mlopt.core.errors import DataError, MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.formats.torch.model import (
    SOURCE,
    foreign_code,
    import_torch,
    load_module,
    open_program,
    open_torch,
    origin,
    output_names,
    read_source,
)  # fmt: skip
from mlopt.runtimes.table import open_session

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")


LINEAR = "def build():\n    return torch.nn.Linear(3, 2)"


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    model = make(tmp_path, write(tmp_path, LINEAR))
    write(tmp_path, LINEAR.replace("3, 2", "3, 4"))
    with pytest.raises(ModelError, match="changed after the model was built"):
        load_module(model)


class _TwoInputs(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a - b


@pytest.mark.heavy
def test_a_program_tells_its_own_inputs(tmp_path: Path) -> None:
    dynamic = {name: {0: torch.export.Dim.DYNAMIC} for name in "ab"}
    program = torch.export.export(_TwoInputs(), (torch.ones(2, 3),), {"b": torch.ones(2, 3)}, dynamic_shapes=dynamic)
    torch.export.save(program, tmp_path / "two.pt2")
    model = open_program(tmp_path / "two.pt2")
    assert [(spec.name, spec.dtype, spec.shape[1], spec.dynamic_axes) for spec in model.inputs] == [
        ("a", "float32", 3, (0,)),
        ("b", "float32", 3, (0,)),
    ]
    with open_session(in_runtime(model)) as session:
        got = session.run({"a": np.full((4, 3), 5, np.float32), "b": np.full((4, 3), 2, np.float32)})
    np.testing.assert_array_equal(got["output"], np.full((4, 3), 3))
    with pytest.raises(ModelError, match="the declared inputs are not the program's"):
        open_program(tmp_path / "two.pt2", INPUTS)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"text"])
def test_a_damaged_program_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt2").write_bytes(content)
    with pytest.raises(ModelError, match=r"not a program of torch\.export"):
        open_program(tmp_path / "bad.pt2")


def test_a_directory_of_somebody_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this is no PyTorch model that mlopt wrote"):
        open_torch(tmp_path)
    with pytest.raises(ModelError, match="the model file does not exist"):
        open_program(tmp_path / "absent.pt2")


def test_a_model_is_called_as_its_author_calls_it(tmp_path: Path) -> None:
    model = make(tmp_path, write(tmp_path, LINEAR))
    assert origin(model) == f"{tmp_path / 'net.py'}:build"
    assert read_source(model.path)["weights"] is None
    assert SOURCE in {file.name for file in model.files}
    assert model.inputs == INPUTS


@pytest.mark.parametrize(
    ("declared", "count", "names"),
    [((), 1, ("output",)), ((), 2, ("output_0", "output_1")), (("a", "b"), 2, ("a", "b"))],
)
def test_outputs_are_called_as_declared_or_numbered(
    declared: tuple[str, ...], count: int, names: tuple[str, ...]
) -> None:
    assert output_names(declared, count, "net.py") == names


def test_another_number_of_outputs_than_declared_is_told() -> None:
    with pytest.raises(ModelError, match="another number of outputs than declared") as caught:
        output_names(("a", "b"), 1, "net.py")
    assert (caught.value.problems[0].got, caught.value.problems[0].expected) == ("1", "2: a, b")


def test_whatever_foreign_code_raises_is_one_error_with_its_first_line() -> None:
    told = foreign_code("it failed", "net.py", lambda _: "mend it")
    with pytest.raises(ModelError, match="it failed") as caught, told:
        raise RuntimeError("\n  first\nsecond")
    problem = caught.value.problems[0]
    assert (problem.got, problem.fix) == ("RuntimeError: first", "mend it")
    assert "RuntimeError" in caught.value.__notes__[0]


def test_an_error_of_mlopt_keeps_its_kind_and_gets_a_place() -> None:
    with pytest.raises(DataError) as caught, foreign_code("it failed", "net.py"):
        raise DataError("bad")
    assert (caught.value.problems[0].what, caught.value.problems[0].where) == ("bad", "net.py")
    with pytest.raises(DataError) as caught, foreign_code("it failed", "net.py"):
        raise DataError("bad", where="x.npz")
    assert caught.value.problems[0].where == "x.npz"


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingPackage, match=re.escape(install_command("torch"))):
        import_torch()
