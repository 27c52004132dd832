"""``verify(..., copy_to=...)``: the copy is what was checked, whatever happens to the original meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tampering import as_symlink, attest

from mlopt.artifact import files, layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.verify import Verified, verify
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode, IntegrityError, OutputError


@pytest.fixture
def signed(tmp_path: Path, fill: Any) -> Path:
    private = keys.user_key().private
    layout.write(tmp_path / "digits", fill(nested=True), seal=lambda folder: sign(folder, KeySigner(private)))
    (tmp_path / "digits/claims.jsonl").write_bytes(attest(tmp_path / "digits", private))
    return tmp_path / "digits"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files.list_files(folder)}


def after_hashing(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Do something right after the file of this name was hashed, as another process could."""
    hash_one = files.sha256

    def hooked(directory: Path, hashed: str, **options: Any) -> str:
        found = hash_one(directory, hashed, **options)
        if hashed == name:
            act()
        return found

    monkeypatch.setattr(files, "sha256", hooked)


def test_the_copy_is_whole_private_and_verifies(signed: Path, tmp_path: Path) -> None:
    verified = verify(signed, copy_to=tmp_path / "copy")
    assert verified.directory == tmp_path / "copy"
    assert contents(tmp_path / "copy") == contents(signed)
    modes = {path.stat().st_mode & 0o7777 for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o7777 for path in (tmp_path / "copy", tmp_path / "copy/raw")} == {0o700}
    assert verify(tmp_path / "copy") == verified


def test_each_file_is_read_once(signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    open_regular = files.open_regular

    def counted(directory: Path, name: str) -> Any:
        opened.append(directory / name)
        return open_regular(directory, name)

    monkeypatch.setattr(files, "open_regular", counted)
    verify(signed, copy_to=tmp_path / "copy")
    assert sorted(path for path in opened if path.is_relative_to(signed)) == [
        signed / name for name in contents(signed)
    ]


def test_a_file_swapped_after_hashing_does_not_reach_the_copy(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(signed)
    after_hashing(monkeypatch, "model.onnx", lambda: (signed / "model.onnx").write_bytes(b"hostile"))
    verify(signed, copy_to=tmp_path / "copy")
    assert (signed / "model.onnx").read_bytes() == b"hostile"
    assert contents(tmp_path / "copy") == before


def test_without_a_copy_a_file_swapped_after_hashing_is_there(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the documentation says: who opens a model that others can write to needs the copy."""
    with monkeypatch.context() as patch:
        after_hashing(patch, "model.onnx", lambda: (signed / "model.onnx").write_bytes(b"hostile"))
        verify(signed)
    with pytest.raises(IntegrityError, match=r"model\.onnx: the file was changed after it was signed"):
        verify(signed)


@pytest.mark.parametrize("name", ["mlopt.json", "report.json"])
def test_what_is_said_comes_from_signed_bytes_even_without_a_copy(
    signed: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = (signed / name).read_bytes().replace(b"mlopt", b"MLOPT")
    after_hashing(monkeypatch, name, lambda: (signed / name).write_bytes(hostile))
    with pytest.raises(IntegrityError, match=rf"{name}: the file was changed after it was signed") as caught:
        verify(signed)
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_a_file_that_becomes_a_link_while_others_are_hashed_is_not_followed(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_hashing(monkeypatch, "mlopt.json", lambda: as_symlink(signed / "model.onnx"))
    with pytest.raises(IntegrityError, match="it is a symbolic link"):
        verify(signed, copy_to=tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_problem_found_in_the_copy_names_the_original(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify(signed, min_version=2, copy_to=tmp_path / "copy")
    assert caught.value.problems[0].where == str(signed / "mlopt.json")


def test_what_is_not_accepted_is_not_copied(signed: Path, tmp_path: Path, fill: Any) -> None:
    layout.write(signed, fill("fail"))
    sign(signed, KeySigner(keys.user_key().private), allow_ungated=True)
    before = sorted(tmp_path.iterdir())
    options = ["--copy-to", str(tmp_path / "copy"), "--require-gate", "pass"]
    assert run(["verify", str(signed), *options]) == ExitCode.GATE_FAILED
    assert sorted(tmp_path.iterdir()) == before
    assert run(["verify", str(signed), *options[:2]]) == ExitCode.OK
    assert (tmp_path / "copy").is_dir()


def test_an_interrupted_copy_leaves_nothing(signed: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())

    def interrupt(_: Verified) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(signed, copy_to=tmp_path / "copy", accept=interrupt)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("taken", ["file", "directory", "broken link"])
def test_the_place_of_the_copy_must_be_free(signed: Path, tmp_path: Path, taken: str) -> None:
    place = tmp_path / "copy"
    if taken == "file":
        place.touch()
    elif taken == "directory":
        place.mkdir()
    else:
        place.symlink_to("nowhere")
    with pytest.raises(OutputError, match="the copy needs a place of its own"):
        verify(signed, copy_to=place)


def test_the_copy_cannot_lie_inside_the_artifact(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(signed, target_is_directory=True)
    for place in (signed / "copy", signed / "raw/copy", tmp_path / "link/copy"):
        with pytest.raises(OutputError, match="the copy cannot lie inside what is copied"):
            verify(signed, copy_to=place)
    verify(signed)


def test_a_place_that_cannot_be_written_is_named(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the copy could not be written: No such file or directory"):
        verify(signed, copy_to=tmp_path / "none/copy")


def test_a_full_disk_is_no_fault_of_the_artifact(signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", no_room)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match="the copy could not be written: No space left on device"):
        verify(signed, copy_to=tmp_path / "copy")
    assert sorted(tmp_path.iterdir()) == before
