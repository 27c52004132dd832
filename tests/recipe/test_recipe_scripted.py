"""The recipe that is made for a TorchScript file: its inputs as the samples have them, named as forward() does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="making TorchScript needs the extra mlopt[torch]")

import scripted_modules as modules  # noqa: E402

from mlopt.core.errors import DataError, MloptError, ModelError, RecipeError  # noqa: E402
from mlopt.formats.model import TensorSpec  # noqa: E402
from mlopt.passes.base import Pass  # noqa: E402
from mlopt.recipe.load import Loaded, load, parse  # noqa: E402
from mlopt.recipe.sources import draft_for, load_source  # noqa: E402

pytestmark = pytest.mark.heavy

Passes = dict[str, Pass[Any]]
RECIPE = "apiVersion: mlopt/v1\nname: net\nmodel: {source: ./m.pt%s}\npasses: [simplify]\n"
INPUTS = ", inputs: {x: {dtype: float32, shape: [batch, 4]}}"


def data(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def made(folder: Path, passes: Passes, module: Any, **arrays: Any) -> Loaded:
    return load_source(modules.save(module, folder / "m.pt"), data(folder, **arrays), passes=passes)


def test_inputs_stand_in_the_order_of_forward_and_only_as_given(tmp_path: Path, passes: Passes) -> None:
    ones = np.ones((6, 4), np.float32)
    loaded = made(tmp_path, passes, modules.Masked(), mask=ones.astype(np.int64), x=ones, labels=np.arange(6))
    assert loaded.recipe.model.source == "./m.pt"
    assert loaded.recipe.model.specs == (
        TensorSpec("x", "float32", ("batch", 4)), TensorSpec("mask", "int64", ("batch", 4)),
    )  # fmt: skip
    assert [step.name for step in loaded.recipe.passes] == ["simplify", "quantize", "fuse"]
    assert loaded.recipe.metric.name == "fidelity"
    assert loaded.draft is not None
    written = tmp_path / "other" / "net.yaml"
    written.parent.mkdir()
    assert parse(loaded.draft(written), written, passes=passes).recipe.model.source == "../m.pt"
    assert made(tmp_path, passes, modules.Masked(), x=ones).recipe.model.specs[0].name == "x"


@pytest.mark.parametrize("double", [True, False])
def test_numbers_that_are_double_by_default_become_what_the_weights_are(
    tmp_path: Path, passes: Passes, *, double: bool
) -> None:
    module = torch.nn.Linear(4, 2).double() if double else torch.nn.Linear(4, 2)
    (spec,) = made(tmp_path, passes, module, input=np.ones((6, 4))).recipe.model.specs
    assert spec.dtype == ("float64" if double else "float32")


@pytest.mark.parametrize("arrays", [("image",), ("x", "image"), ("mask",), ("x", "times")])
def test_names_that_do_not_agree_are_told_from_both_sides(
    tmp_path: Path, passes: Passes, arrays: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        made(tmp_path, passes, modules.Masked(), **dict.fromkeys(arrays, np.ones((6, 4), np.float32)))
    (found,) = caught.value.problems
    assert found.got == ", ".join(arrays)
    assert "forward(x: Tensor, mask: Optional[Tensor]" in str(found.expected)
    assert "model: {source: ./m.pt, inputs: {...}}" in str(found.fix)


def test_without_data_its_sizes_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not say what sizes it takes") as caught:
        draft_for(modules.save(modules.Masked(), tmp_path / "m.pt"), None)
    (found,) = caught.value.problems
    assert found.expected == "an .npz with arrays named x, mask, first axis = samples"
    assert ["--data" in str(found.fix), "--allow-code" in str(found.fix)] == [True, True]


@pytest.mark.parametrize("name", ["pictures", "x.jsonl", "none.npz"])
def test_other_data_takes_a_recipe(tmp_path: Path, name: str) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "x.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"a TorchScript file takes an \.npz"):
        draft_for(modules.save(modules.Loop(), tmp_path / "m.pt"), tmp_path / name)


def test_more_than_tensors_is_told(tmp_path: Path, passes: Passes) -> None:
    with pytest.raises(ModelError, match="forward\\(\\) takes more than tensors") as caught:
        made(tmp_path, passes, modules.Number(), x=np.ones((6, 4), np.float32))
    assert caught.value.problems[0].got == "times: int"


def test_nothing_runs(tmp_path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, passes, modules.WritesWhenLoaded(), x=np.ones((6, 4), np.float32))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        ("", "", "a TorchScript file does not say what sizes it takes"),
        (f"{INPUTS}, weights: ./w.safetensors", "", "a model file has its own weights"),
        (INPUTS, "references: [torch_compile]\n", "a TorchScript model is never run by PyTorch"),
    ],
)
def test_what_a_recipe_may_not_say_of_it(tmp_path: Path, passes: Passes, inputs: str, more: str, said: str) -> None:
    modules.save(modules.Loop(), tmp_path / "m.pt")
    (tmp_path / "w.safetensors").touch()
    (tmp_path / "net.yaml").write_text(RECIPE % inputs + more)
    with pytest.raises(RecipeError, match=said) as caught:
        load(tmp_path / "net.yaml", passes=passes)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["a state dict", "a module", "text"])
def test_other_files_of_its_name_are_refused_as_pickles_are(tmp_path: Path, passes: Passes, name: str) -> None:
    module = torch.nn.Linear(4, 2)
    if name == "text":
        (tmp_path / "m.pt").write_text("x")
    else:
        torch.save(module if name == "a module" else module.state_dict(), tmp_path / "m.pt")
    (tmp_path / "net.yaml").write_text(RECIPE % INPUTS)
    with pytest.raises(RecipeError, match="a model in a pickle is never loaded"):
        load(tmp_path / "net.yaml", passes=passes)
    with pytest.raises(MloptError, match="this is"):
        draft_for(tmp_path / "m.pt", data(tmp_path, x=np.ones((6, 4), np.float32)))
