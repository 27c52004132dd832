"""Verified first, then written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import deployed
import pytest

from mlopt.artifact.files import hash_files
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, OutputError, UserError
from mlopt.deploy.run import DeployRequest, deploy, named
from mlopt.deploy.table import ENGINES, engine_named


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return deployed.artifact(tmp_path / "words")


@pytest.mark.parametrize("engine", [each.name for each in ENGINES])
def test_the_models_files_and_the_digest_go_along(engine: str, words: Path, tmp_path: Path) -> None:
    told = deployed.written(tmp_path / "out", engine, words)
    root = verify(words).root
    (model,) = told["models"]
    assert (model["name"], model["version"], model["digest"]) == ("words", 1, root)
    folder = tmp_path / "out" / engine_named(engine).folder(_Named("words", 1))
    described = json.loads((folder / "deployment.json").read_text())
    assert described["digest"] == root
    assert hash_files(folder, ["model.onnx"]) == described["files"]
    files = sorted(
        each.relative_to(tmp_path / "out").as_posix() for each in (tmp_path / "out").rglob("*") if each.is_file()
    )
    assert told["files"] == files
    assert {each.name for each in tmp_path.iterdir()} == {"words", "out"}


class _Named:
    """As much of a model as its folder's name takes."""

    def __init__(self, name: str, version: int) -> None:
        self.name, self.version = name, version


def test_an_artifact_that_is_not_what_was_signed_is_refused_and_nothing_is_written(words: Path, tmp_path: Path) -> None:
    deployed.truncate(words / "model.onnx")
    with pytest.raises(IntegrityError, match="changed after it was signed"):
        deployed.written(tmp_path / "out", "triton", words)
    assert {each.name for each in tmp_path.iterdir()} == {"words"}


def test_what_is_there_already_is_not_overwritten(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    deployed.written(out, "fastapi", words)
    before = sorted(out.rglob("*"))
    with pytest.raises(OutputError, match="this is there already"):
        deployed.written(out, "triton", words)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="this is there already"):
        deployed.written(tmp_path / "file", "triton", words)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="this is there already"):
        deployed.written(tmp_path / "link", "triton", words)
    assert sorted(out.rglob("*")) == before


def test_a_failure_halfway_leaves_nothing(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OutputError("no room")

    monkeypatch.setattr("mlopt.deploy.pages._put", fails)
    with pytest.raises(OutputError, match="no room"):
        deployed.written(tmp_path / "out", "triton", words)
    assert {each.name for each in tmp_path.iterdir()} == {"words"}


@pytest.mark.parametrize(
    ("engine", "place"), [("triton", "model_repository/first-second/1/README"), ("bentoml", "ensemble.py")]
)
def test_two_models_that_fit_are_an_ensemble(engine: str, place: str, tmp_path: Path) -> None:
    first = deployed.artifact(tmp_path / "first", deployed.doubled)
    second = deployed.artifact(tmp_path / "second", deployed.shifted)
    told = deployed.written(tmp_path / "out", engine, first, second)
    assert (told["ensemble"], told["ensemble_why"]) == ("first-second", "first feeds h")
    assert (tmp_path / "out" / place).is_file()
    apart = deployed.written(tmp_path / "apart", engine, second, first)
    assert (apart["ensemble"], apart["ensemble_why"]) == (None, "no output of second has the name of an input of first")
    assert deployed.written(tmp_path / "other", "fastapi", first, second)["ensemble"] is None


def test_two_models_of_one_name_need_another(words: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two models would have one name"):
        deployed.written(tmp_path / "out", "fastapi", words, words)
    request = DeployRequest((str(words), f"more={words}"), engine_named("fastapi"), tmp_path / "out")
    assert [each["name"] for each in deploy(request)["models"]] == ["words", "more"]


def test_a_name_before_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert named("a=b") == (None, Path("a=b"))
    assert named("x=a") == ("x", Path("a"))
    assert named("./x=a") == (None, Path("./x=a"))


def test_the_label_is_one_that_kubernetes_takes(tmp_path: Path) -> None:
    folder = deployed.artifact(tmp_path / "words")
    request = DeployRequest((f"3_Models.Of-me={folder}",), engine_named("fastapi"), tmp_path / "out")
    deploy(request)
    assert "name: m-3-models-of-me\n" in (tmp_path / "out" / "k8s" / "service.yaml").read_text()
