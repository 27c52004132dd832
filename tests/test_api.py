"""``mlopt.load``: nothing is opened that was not verified, and what is opened is the copy that was."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_models import broken
from signed_dense import WIDTH, signed_dense

import mlopt
from mlopt.artifact import opened as opening
from mlopt.artifact.deployed import shipped
from mlopt.artifact.signing import keys
from mlopt.core.errors import IntegrityError, ModelError, OutputError, UserError
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import open_session

FEEDS = {"x": np.ones((1, WIDTH), np.float32)}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary ones are made."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """``make(...)`` gives a signed artifact with a small model, its data in a file of its own."""

    return partial(signed_dense, tmp_path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The model files that were opened, in order."""
    found: list[Path] = []

    def recorded(deployable: Deployable) -> Any:
        found.append(deployable.model.path)
        return open_session(deployable)

    monkeypatch.setattr(opening, "open_session", recorded)
    return found


def test_the_model_is_opened_from_a_private_copy_that_goes_with_the_session(
    make: Callable[..., Path], temporary: Path, opened: list[Path]
) -> None:
    artifact = make()
    with mlopt.load(artifact) as session:
        (path,) = opened
        assert path.is_relative_to(temporary)
        assert {folder.stat().st_mode & 0o7777 for folder in path.parents[:2]} == {0o700}
        assert (path.parent / "data").read_bytes() == (artifact / "data").read_bytes()
        assert session.run(FEEDS)["h1"].tolist() == FEEDS["x"].tolist()
        assert [spec.name for spec in session.inputs] == ["x"]
    assert list(temporary.iterdir()) == []


def test_what_happens_to_the_artifact_after_the_check_does_not_matter(
    make: Callable[..., Path], opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = make()

    def exchanged(*named: Any) -> Deployable:
        for file in artifact.iterdir():
            file.write_bytes(b"hostile")
        return shipped(*named)

    monkeypatch.setattr(opening, "shipped", exchanged)
    with mlopt.load(artifact) as session:
        assert session.run(FEEDS)["h1"].tolist() == FEEDS["x"].tolist()
    assert (artifact / "model.onnx").read_bytes() == b"hostile"
    assert not opened[0].is_relative_to(artifact)


@pytest.mark.parametrize("name", ["model.onnx", "data", "mlopt.json", "report.json"])
def test_nothing_is_opened_that_was_not_verified(
    make: Callable[..., Path], temporary: Path, opened: list[Path], name: str
) -> None:
    artifact = make()
    (artifact / name).write_bytes((artifact / name).read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=f"{name}: the file was changed"):
        mlopt.load(artifact)
    assert opened == []
    assert list(temporary.iterdir()) == []


def test_the_signer_is_named_as_on_the_command_line(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, public = make(), keys.public_path(keys.user_key_path())
    other = keys.create_key(tmp_path / "other.key")
    mlopt.load(artifact, str(public)).close()
    with pytest.raises(IntegrityError, match="signed by an unknown key"):
        mlopt.load(artifact, key=other)
    with pytest.raises(UserError, match="an identity is only as good as who proves it"):
        mlopt.load(artifact, identity="somebody@example.org")
    with pytest.raises(OutputError, match="does not exist"):
        mlopt.load(artifact, roots=tmp_path / "none.pem")
    monkeypatch.setenv("MLOPT_CONFIG", str(tmp_path / "new_user"))
    with pytest.raises(OutputError, match="you have none of your own yet"):
        mlopt.load(artifact)


def test_options_that_the_runtime_does_not_know_are_refused(make: Callable[..., Path], opened: list[Path]) -> None:
    with pytest.raises(IntegrityError, match="cannot be opened as the manifest says") as caught:
        mlopt.load(make(options={"threads": "many"}))
    assert "'threads'" in str(caught.value)
    assert opened == []


def test_a_signed_model_that_is_not_the_one_described_is_refused(
    make: Callable[..., Path], temporary: Path, opened: list[Path]
) -> None:
    with pytest.raises(IntegrityError, match="the model is not the one that the manifest describes"):
        mlopt.load(make(digest="0" * 64))
    assert opened == []
    assert list(temporary.iterdir()) == []


def test_a_session_that_cannot_be_opened_leaves_no_copy(
    make: Callable[..., Path], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_deployable: Deployable) -> Any:
        raise ModelError("the runtime refused it")

    monkeypatch.setattr(opening, "open_session", refuse)
    with pytest.raises(ModelError, match="the runtime refused it"):
        mlopt.load(make(save=broken))
    assert list(temporary.iterdir()) == []
