"""What a source of a TorchScript file is cached under: all that makes it another model, or checks it otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="making TorchScript needs the extra mlopt[torch]")

import scripted_modules as modules  # noqa: E402
from bench_models import dense  # noqa: E402

from mlopt.core.errors import ModelError  # noqa: E402
from mlopt.formats.onnx.file import open_onnx  # noqa: E402
from mlopt.passes.export import PASS  # noqa: E402
from mlopt.passes.table import table  # noqa: E402
from mlopt.recipe.load import parse  # noqa: E402
from mlopt.run import scripted  # noqa: E402
from mlopt.run.chain import anywhere  # noqa: E402
from mlopt.run.inputs import check_unchanged, code_digests, source_key  # noqa: E402

RECIPE = (
    "apiVersion: mlopt/v1\nname: net\n"
    "model: {source: ./m.pt, inputs: {x: {dtype: float32, shape: [batch, 4]}}}\n"
    "data: {evaluation: {source: ./x.npz}}\npasses: [simplify]\n"
)


def fingerprint(folder: Path, text: str = RECIPE) -> str:
    recipe = parse(text, folder / "net.yaml", passes=table()).recipe
    key = source_key(recipe, folder, recipe.model.specs)
    assert key is not None
    return key.fingerprint


def test_whatever_changes_makes_it_anew(tmp_path: Path) -> None:
    modules.save(modules.Loop(), tmp_path / "m.pt")
    np.savez(tmp_path / "x.npz", x=np.ones((3, 4), np.float32))
    found = [fingerprint(tmp_path), fingerprint(tmp_path, RECIPE.replace("shape: [batch", "shape: [2"))]
    found.append(fingerprint(tmp_path, RECIPE.replace("}}}", "}}, outputs: [y]}")))
    assert fingerprint(tmp_path) == found[0]
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 4), np.float32))
    found.append(fingerprint(tmp_path))
    modules.save(modules.BranchOnSize(), tmp_path / "m.pt")
    found.append(fingerprint(tmp_path))
    assert len(set(found)) == 5


def test_a_change_during_the_run_is_noticed(tmp_path: Path) -> None:
    modules.save(modules.Loop(), tmp_path / "m.pt")
    np.savez(tmp_path / "x.npz", x=np.ones((3, 4), np.float32))
    source = open_onnx(dense(tmp_path / "exported.onnx", width=4))
    loaded = parse(RECIPE, tmp_path / "net.yaml", passes=table())
    before = code_digests(loaded)
    check_unchanged(before, loaded, source)
    modules.save(modules.BranchOnSize(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match="it changed while the run used it") as caught:
        check_unchanged(before, loaded, source)
    assert caught.value.problems[0].where == "file m.pt"


def test_an_export_of_what_is_exported_already_is_to_be_left_out(tmp_path: Path) -> None:
    modules.save(modules.Loop(), tmp_path / "m.pt")
    np.savez(tmp_path / "x.npz", x=np.ones((3, 4), np.float32))
    recipe = parse(RECIPE.replace("[simplify]", "[export, simplify]"), tmp_path / "net.yaml", passes=table()).recipe
    (problem,) = anywhere(recipe, table())
    assert (problem.where, problem.fix) == ("passes.0.export", "remove 'export'")


def test_the_pass_that_does_the_work_counts() -> None:
    assert (PASS.requires.packages, PASS.version) == (scripted.PACKAGES, scripted.EXPORT)


def test_what_is_said_names_the_exporter() -> None:
    assert f"exported from TorchScript by torch {torch.__version__}" in scripted.how_exported()
