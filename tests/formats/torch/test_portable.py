"""A folder that makes a module without mlopt: what lies in it, that it answers alike, and goes through mlopt again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_modules import NET, answers, answers_without_mlopt, halve, narrowed
from torch_sources import INPUTS, make

from mlopt.core.errors import ModelError
from mlopt.core.usercode import CodeReference
from mlopt.formats.torch import portable
from mlopt.formats.torch.model import (
    authors_own,
    code_of,
    load_module,
    open_program,
    open_torch,
    read_source,
    save_changed,
)

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no folder with a ``types.py`` to the processes of other tests."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def names(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


@pytest.mark.process
@pytest.mark.heavy
def test_the_module_is_made_trained_on_and_answers_the_same_without_mlopt(tmp_path: Path) -> None:
    model = narrowed(tmp_path)
    portable.write(model, tmp_path / "out")
    assert names(tmp_path / "out") == [
        "build.py", "mlopt_rebuild.py", "net.py", "source.json", "weights.safetensors", "widths.py",
    ]  # fmt: skip
    np.testing.assert_array_equal(answers_without_mlopt(tmp_path / "out", X, tmp_path, "--train"), answers(model, X))
    assert str(tmp_path) not in (tmp_path / "out/source.json").read_text()


def test_mlopt_opens_it_too_and_what_it_makes_is_the_same(tmp_path: Path) -> None:
    model = narrowed(tmp_path)
    portable.write(model, tmp_path / "out")
    again = portable.opened(tmp_path / "out")
    np.testing.assert_array_equal(answers(again, X), answers(model, X))
    assert portable.runs_python(tmp_path / "out") == CodeReference(tmp_path / "out/net.py", "build")


@pytest.mark.parametrize("file", ["build.py", "types.py", "my-net.py", "class.py"])
def test_a_file_that_cannot_be_imported_by_its_name_gets_another(tmp_path: Path, file: str) -> None:
    model = narrowed(tmp_path, file=file)
    portable.write(model, tmp_path / "out")
    source = read_source(tmp_path / "out")
    assert source["code"] not in {"build.py", "types.py", "my-net.py", "class.py"}
    compile((tmp_path / "out/build.py").read_text(), "build.py", "exec")
    np.testing.assert_array_equal(answers(portable.opened(tmp_path / "out"), X), answers(model, X))


def test_what_lay_elsewhere_lies_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elsewhere/far/deep"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "sizes.py").write_text("WIDTH = 8\n")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    model = narrowed(tmp_path, NET.replace("from widths", "from far.deep.sizes"))
    portable.write(model, tmp_path / "out")
    assert {"far/__init__.py", "far/deep/__init__.py", "far/deep/sizes.py"} <= set(names(tmp_path / "out"))


def test_files_that_cannot_lie_together_are_named(tmp_path: Path) -> None:
    (tmp_path / "build.py").write_text("WIDTH = 8\n")
    model = narrowed(tmp_path, NET.replace("from widths", "from build"))
    with pytest.raises(ModelError, match="cannot lie in one folder") as caught:
        portable.write(model, tmp_path / "out")
    assert caught.value.problems[0].got == "the name build.py is taken"


def test_python_that_has_changed_since_is_not_kept(tmp_path: Path) -> None:
    model = narrowed(tmp_path)
    (tmp_path / "widths.py").write_text("WIDTH = 16\n")
    with pytest.raises(ModelError, match="changed after the model was built"):
        portable.write(model, tmp_path / "out")


def test_python_that_is_not_there_any_more_is_told(tmp_path: Path) -> None:
    model = narrowed(tmp_path)
    code_of(model.path).path.unlink()
    for use in (load_module, lambda one: portable.write(one, tmp_path / "out")):
        with pytest.raises(ModelError, match="not there any more"):
            use(model)


def test_python_beside_is_all_that_such_a_folder_may_name(tmp_path: Path) -> None:
    portable.write(narrowed(tmp_path), tmp_path / "out")
    source = read_source(tmp_path / "out") | {"code": "../net.py"}
    (tmp_path / "out/source.json").write_text(json.dumps(source))
    with pytest.raises(ModelError, match="not beside it"):
        portable.runs_python(tmp_path / "out")


def test_what_is_made_smaller_again_needs_the_authors_python_alone(tmp_path: Path) -> None:
    """The source of a second recipe is the folder that a first one left: its own ``build.py`` is not what is kept."""
    portable.write(narrowed(tmp_path), tmp_path / "out")
    code = CodeReference(tmp_path / "out/build.py", "build")
    assert portable.read_by(code) == [tmp_path / "out/source.json", tmp_path / "out/weights.safetensors"]
    source = make(tmp_path, code)
    module = load_module(source).model
    halve(module)
    again = open_torch(save_changed(source, module, tmp_path / "smaller"))
    portable.write(again, tmp_path / "second")
    assert names(tmp_path / "second") == names(tmp_path / "out")
    assert read_source(tmp_path / "second")["sizes"]["0"]["numbers"] == {"out_features": 2}
    np.testing.assert_array_equal(answers(portable.opened(tmp_path / "second"), X), answers(again, X))


def test_a_build_that_somebody_changed_is_the_authors_own(tmp_path: Path) -> None:
    portable.write(narrowed(tmp_path), tmp_path / "out")
    code = CodeReference(tmp_path / "out/build.py", "build")
    assert authors_own(code).path.name == "net.py"
    code.path.write_text(code.path.read_text() + "\nMORE = 1\n")
    assert authors_own(code) == code
    assert portable.read_by(CodeReference(tmp_path / "net.py", "build")) == []


@pytest.mark.process
@pytest.mark.heavy
def test_a_program_leaves_without_what_was_pickled_in_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = torch.nn.Linear(3, 2), torch.from_numpy(X)
    batch = torch.export.Dim("batch", min=2, max=64)
    torch.export.save(torch.export.export(module, (x,), dynamic_shapes=({0: batch},)), tmp_path / "net.pt2")
    model = open_program(tmp_path / "net.pt2", INPUTS, ("y",))
    portable.write(model, tmp_path / "out")
    assert names(tmp_path / "out") == ["build.py", "model.pt2", "source.json"]
    again = portable.opened(tmp_path / "out")
    assert (again.inputs, [spec.name for spec in again.outputs]) == (INPUTS, ["y"])
    assert portable.runs_python(tmp_path / "out") is None
    np.testing.assert_array_equal(answers_without_mlopt(tmp_path / "out", X, tmp_path), answers(model, X))


def test_no_module_of_mlopt_is_named_in_what_leaves(tmp_path: Path) -> None:
    portable.write(narrowed(tmp_path), tmp_path / "out")
    for name in ("build.py", "mlopt_rebuild.py"):
        assert "from mlopt." not in (tmp_path / "out" / name).read_text()
        assert "import mlopt\n" not in (tmp_path / "out" / name).read_text()
    assert sys.modules["mlopt"]
