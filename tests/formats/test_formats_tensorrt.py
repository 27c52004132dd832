"""Engines beside an ONNX file: what is opened, what is no more what it was, and what strangers may write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorrt_graphs import product

from mlopt.core.errors import ModelError
from mlopt.formats.model import TENSORRT, Model, digest_file
from mlopt.formats.table import copied, format_of, graph_of
from mlopt.formats.tensorrt import DOCUMENT, FOLDER, Engine, EngineSet, open_engines, read, write


def engines(folder: Path, *targets: str, **changed: Any) -> Path:
    """An ONNX file with files beside it that nobody could run."""
    model = product(folder / "model.onnx")
    (folder / FOLDER).mkdir(exist_ok=True)
    every = []
    for target in targets:
        file = folder / FOLDER / f"{target}.engine"
        file.write_bytes(target.encode())
        every.append(
            Engine(file=f"{FOLDER}/{target}.engine", target=target, digest=digest_file(file), size_bytes=4, seconds=1)
        )
    given = {"backend": "tensorrt_rtx", "version": "1.7", "source": model.digest, "profiles": (), "settings": {},
             "reproducible": True, "measured": False, "engines": tuple(every)}  # fmt: skip
    write(EngineSet(**{**given, **changed}), folder)
    return model.path


def test_the_model_is_the_onnx_file_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    model = open_engines(engines(tmp_path, "sm86", "sm89"))
    plain = product(tmp_path / "other" / "model.onnx")
    assert model.kind == TENSORRT
    assert (model.inputs, model.outputs) == (plain.inputs, plain.outputs)
    assert [file.name for file in model.files] == ["model.onnx", "engines.json", "sm86.engine", "sm89.engine"]
    assert model.digest != plain.digest
    assert model.size_bytes == plain.size_bytes
    assert graph_of(model).graph.node[0].op_type == "MatMul"


def test_it_is_copied_as_a_whole(tmp_path: Path) -> None:
    model = open_engines(engines(tmp_path / "a", "sm86"))
    (tmp_path / "b").mkdir()
    copy = copied(model, tmp_path / "b", lambda _name: True)
    assert copy.digest == model.digest
    assert (tmp_path / "b" / DOCUMENT).exists()


def test_it_may_have_no_engine_and_say_why(tmp_path: Path) -> None:
    model: Model = open_engines(engines(tmp_path, skipped="TensorRT is not installed"))
    assert read(model.path).skipped == "TensorRT is not installed"


def test_an_engine_that_changed_is_refused(tmp_path: Path) -> None:
    path = engines(tmp_path, "sm86")
    (tmp_path / FOLDER / "sm86.engine").write_bytes(b"other")
    with pytest.raises(ModelError, match="not the one that was built"):
        open_engines(path)


def test_a_model_that_changed_is_refused(tmp_path: Path) -> None:
    path = engines(tmp_path, "sm86")
    product(tmp_path / "model.onnx", 2)
    with pytest.raises(ModelError, match="another model"):
        open_engines(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "mlopt.engines/v2"}', "x" * (2 << 20)])
def test_what_mlopt_did_not_write_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = engines(tmp_path)
    (tmp_path / DOCUMENT).write_text(text)
    with pytest.raises(ModelError) as caught:
        open_engines(path)
    assert caught.value.problems[0].fix


def test_without_its_description_there_is_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        open_engines(product(tmp_path / "model.onnx").path)


@given(
    st.sampled_from(
        ["../x.engine", "/etc/passwd", "engines/../../x.engine", "engines/a/b.engine", "engines/x.so", "x.engine"]
    )
)
def test_an_engine_lies_in_its_folder_and_nowhere_else(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    path = engines(folder, "sm86")
    document = json.loads((folder / DOCUMENT).read_text())
    document["engines"][0]["file"] = name
    (folder / DOCUMENT).write_text(json.dumps(document))
    with pytest.raises(ModelError, match="is not one"):
        open_engines(path)


def test_a_link_in_the_place_of_an_engine_is_refused(tmp_path: Path) -> None:
    path = engines(tmp_path, "sm86")
    file = tmp_path / FOLDER / "sm86.engine"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not the one that was built"):
        open_engines(path)


def test_it_is_no_kind_that_a_user_names_by_its_suffix() -> None:
    assert format_of(TENSORRT).suffixes == ()
