"""What a run needs before its first pass: what it depends on, what takes consent, and that it stays as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_models import dense
from campaign_parts import model

from mlopt.core.cache import Store
from mlopt.core.errors import DataError, ModelError
from mlopt.core.worker import WorkerDiedError
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.table import table
from mlopt.recipe.load import Loaded, load
from mlopt.run import inputs

SPECS = (TensorSpec("x", "float32", ("batch", 4)),)
BUILT = "{source: ./net.py:build, weights: ./w.safetensors, inputs: {x: {dtype: float32, shape: [batch, 4]}}}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with Python, weights, data and a model; what workers do is done in this process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("from helper_of_net import WIDTH\n\ndef build(): ...\n")
    (tmp_path / "helper_of_net.py").write_text("WIDTH = 4\n")
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    np.savez(tmp_path / "x.npz", x=np.ones((6, 4), np.float32))
    dense(tmp_path / "net.onnx", width=4)
    monkeypatch.setattr(inputs, "run_in_worker", lambda _log, function, *given, **more: function(*given, **more))
    return tmp_path


def recipe(model: str = "{source: net.onnx}", data: str = "{evaluation: {source: x.npz}}", more: str = "") -> Loaded:
    text = f"apiVersion: mlopt/v1\nname: net\nmodel: {model}\ndata: {data}\npasses: [simplify]\n{more}"
    Path("r.yaml").write_text(text)
    return load(Path("r.yaml"), passes=table())


def of_source(loaded: Loaded) -> str:
    key = inputs.source_key(loaded.recipe, loaded.base, SPECS)
    assert key is not None
    return key.fingerprint


def of_data(loaded: Loaded) -> str:
    return inputs.dataset_key(loaded.recipe, "evaluation", loaded.base, SPECS).fingerprint


def test_what_the_evidence_lacks_is_said_only_where_it_lacks_it(here: Path) -> None:
    (said,) = inputs.advice(recipe(data="{}").recipe)
    assert "random samples were used" in said
    assert inputs.advice(recipe().recipe) == []


def test_defaults_of_the_model_are_named_in_one_line(here: Path) -> None:
    plain = open_onnx(here / "net.onnx")
    assert inputs.interface_notice(plain) == []
    (said,) = inputs.interface_notice(replace(plain, defaults=tuple(f"d{n}" for n in range(9))))
    assert "('d0', 'd1', 'd2', 'd3' and 5 more)" in said


@pytest.mark.parametrize(
    "change",
    [
        lambda: Path("net.py").write_text("from helper_of_net import WIDTH\n\ndef build(): return 1\n"),
        lambda: Path("helper_of_net.py").write_text("WIDTH = 5\n"),
        lambda: Path("w.safetensors").write_bytes(b"others"),
    ],
    ids=["the file", "what it imports", "its weights"],
)
def test_a_source_is_built_again_if_its_code_or_weights_changed(here: Path, change: Callable[[], object]) -> None:
    before = of_source(recipe(BUILT))
    assert of_source(recipe(BUILT)) == before
    change()
    assert of_source(recipe(BUILT)) != before


def test_a_source_that_mlopt_trains_depends_on_how_and_on_what(here: Path) -> None:
    model = BUILT.replace("weights: ./w.safetensors", "train: {epochs: 3, step: './own.py:step'}")
    assert model != BUILT
    (here / "own.py").write_text("def step(): ...\n")
    np.savez("t.npz", x=np.zeros((3, 4), np.float32))
    data = "{train: {source: t.npz}}"
    found = [of_source(recipe(model, data))]
    assert of_source(recipe(model, data)) == found[0]
    found.append(of_source(recipe(model.replace("epochs: 3", "epochs: 3, seed: 1"), data)))
    found.append(of_source(recipe(model, "{train: {source: t.npz, limit: 2}}")))
    (here / "own.py").write_text("def step(): return 1\n")
    found.append(of_source(recipe(model, data)))
    np.savez("t.npz", x=np.ones((3, 4), np.float32))
    found.append(of_source(recipe(model, data)))
    assert len(set(found)) == 5


def test_of_a_folder_that_mlopt_wrote_its_weights_count_too(here: Path) -> None:
    """Of a ``build()`` that reads them: no other says what it reads."""
    (here / "build.py").write_text("def build(): ...\n")
    model = BUILT.replace("net.py", "build.py")
    before = of_source(recipe(model))
    (here / "weights.safetensors").write_bytes(b"one")
    assert of_source(recipe(model)) == before
    (here / "source.json").write_text("{}")
    first = of_source(recipe(model))
    (here / "weights.safetensors").write_bytes(b"two")
    assert len({before, first, of_source(recipe(model))}) == 3


def test_another_shape_or_function_is_another_source_and_a_file_is_built_by_nobody(here: Path) -> None:
    loaded = recipe(BUILT)
    other = inputs.source_key(loaded.recipe, loaded.base, (TensorSpec("x", "float32", ("batch", 5)),))
    assert other is not None
    assert len({of_source(loaded), other.fingerprint, of_source(recipe(BUILT.replace(":build", ":other")))}) == 3
    file = recipe()
    assert inputs.source_key(file.recipe, file.base, ()) is None


def test_weights_that_are_not_there_are_named(here: Path) -> None:
    loaded = recipe(BUILT)
    (here / "w.safetensors").unlink()
    with pytest.raises(ModelError, match="the weights do not exist") as caught:
        inputs.source_key(loaded.recipe, loaded.base, SPECS)
    assert caught.value.problems[0].where == str(here / "w.safetensors")


def test_a_source_that_is_a_file_needs_no_work(here: Path) -> None:
    loaded, log = recipe(), here / "log"
    found, hit, *_ = inputs.source(loaded.recipe, loaded.base, (), Store(here / "cache"), log)
    assert (found.path, hit) == (here / "net.onnx", True)
    assert not (here / "cache").exists()
    (here / "net.onnx").unlink()
    with pytest.raises(ModelError, match="the model file does not exist"):
        inputs.source(loaded.recipe, loaded.base, (), Store(here / "cache"), log)


def test_python_that_takes_its_process_down_is_one_clear_error_and_nothing_is_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: Any, **__: Any) -> Any:
        raise WorkerDiedError("it was ended by SIGSEGV")

    monkeypatch.setattr(inputs, "run_in_worker", died)
    loaded, store = recipe(BUILT), Store(here / "cache")
    with pytest.raises(ModelError, match="the recipe's Python failed") as caught:
        inputs.source(loaded.recipe, loaded.base, SPECS, store, here / "log")
    assert caught.value.problems[0].got == "it was ended by SIGSEGV"
    with pytest.raises(DataError, match="the evaluation data could not be read"):
        inputs.dataset(loaded.recipe, "evaluation", loaded.base, SPECS, store=store, log=here / "log")
    assert store.entries() == []


def test_data_are_read_once_as_long_as_their_files_stay(here: Path) -> None:
    store = Store(here / "cache")

    def read() -> Any:
        loaded = recipe()
        return inputs.dataset(loaded.recipe, "evaluation", loaded.base, SPECS, store=store, log=here / "log")

    first = read()
    assert (first.count, first.source) == (6, "x.npz")
    assert read() == first
    np.savez(here / "x.npz", x=np.zeros((5, 4), np.float32))
    assert read().count == 5


def test_a_description_or_an_input_that_changed_is_other_data(here: Path) -> None:
    keys = {of_data(recipe()), of_data(recipe(data="{evaluation: {source: x.npz, limit: 3}}"))}
    loaded = recipe()
    other = (TensorSpec("y", "float32", ("batch", 4)),)
    keys.add(inputs.dataset_key(loaded.recipe, "evaluation", loaded.base, other).fingerprint)
    assert len(keys) == 3


def test_of_a_folder_every_file_and_every_empty_class_counts(here: Path) -> None:
    (here / "images" / "cat").mkdir(parents=True)
    (here / "images" / "cat" / "1.png").write_bytes(b"one")
    loaded = recipe(data="{evaluation: {source: images}}")
    keys = [of_data(loaded)]
    (here / "images" / "dog").mkdir()
    keys.append(of_data(loaded))
    (here / "images" / "dog" / "2.png").write_bytes(b"two")
    keys.append(of_data(loaded))
    (here / "images" / "dog" / "2.png").write_bytes(b"other")
    keys.append(of_data(loaded))
    os.rename(here / "images" / "dog", here / "images" / "wolf")  # noqa: PTH104
    keys.append(of_data(loaded))
    assert len(set(keys)) == 5


def test_labels_beside_the_data_count_as_data(here: Path) -> None:
    np.save(here / "labels.npy", np.arange(6))
    loaded = recipe(data="{evaluation: {source: x.npz, labels: labels.npy}}")
    before = of_data(loaded)
    np.save(here / "labels.npy", np.arange(6)[::-1])
    assert of_data(loaded) != before


def test_made_up_samples_belong_to_one_model_and_one_batch_size() -> None:
    keys = [inputs.made_up_key("net", digest, size) for digest, size in (("a", 1), ("b", 1), ("a", 2))]
    assert len({key.fingerprint for key in keys}) == 3
    assert {key.label for key in keys} == {"net: evaluation"}


def test_all_that_a_run_read_is_on_record(here: Path) -> None:
    loaded = recipe(BUILT)
    found = inputs.digests(loaded, model(here, "source"), {"calibration": None})
    assert set(found) == {"model", "code of model.source", "file net.py", "file helper_of_net.py"}
    assert found["model"] == model(here, "source").digest


def test_a_change_under_the_run_is_noticed_and_named(here: Path) -> None:
    loaded, source = recipe(BUILT), open_onnx(here / "net.onnx")
    before = inputs.code_digests(loaded)
    inputs.check_unchanged(before, loaded, source)
    (here / "helper_of_net.py").write_text("WIDTH = 5\n")
    with pytest.raises(ModelError, match="it changed while the run used it") as caught:
        inputs.check_unchanged(before, loaded, source)
    assert caught.value.problems[0].where == "code of model.source"
    before = inputs.code_digests(loaded)
    dense(here / "net.onnx", width=5)
    with pytest.raises(ModelError, match="it changed while the run used it") as caught:
        inputs.check_unchanged(before, loaded, source)
    assert caught.value.problems[0].where == str(here / "net.onnx")
