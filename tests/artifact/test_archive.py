"""Packing and unpacking: the same bytes everywhere, and nothing comes out of an archive that does not belong there."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hostile_archives import HOSTILE, LOCAL, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.artifact import archive, container, layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.base import UnknownSignerError
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import ExitCode, IntegrityError, OutputError, UserError

MODEL = b"weights" * 1000


@pytest.fixture
def artifact(tmp_path: Path, fill: Any) -> Path:
    layout.write(tmp_path / "made" / "digits", fill(weights=MODEL, nested=True))
    sign(tmp_path / "made" / "digits", KeySigner(keys.user_key().private))
    return tmp_path / "made" / "digits"


@pytest.fixture
def packed(artifact: Path) -> Path:
    file = artifact.parent / "digits-1.mlopt"
    archive.pack(verify(artifact), file)
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(file: Path, data: bytes | None = None) -> str:
    """What ``unpack`` says; and that it leaves nothing behind."""
    if data is not None:
        file.write_bytes(data)
    folder = file.parent / "out"
    with pytest.raises(IntegrityError) as caught:
        archive.unpack(file, folder / "it", verify)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert str(file) in str(caught.value)
    assert not folder.exists() or names(folder) == []
    return str(caught.value)


def test_what_was_packed_comes_out_again(artifact: Path, packed: Path, tmp_path: Path) -> None:
    (artifact / layout.CLAIMS).write_bytes(b"")
    archive.pack(verify(artifact), packed)
    verified = archive.unpack(packed, tmp_path / "out", verify)
    assert verified == verify(tmp_path / "out")
    before, after = ({path.relative_to(top): path.read_bytes() for path in top.rglob("*.*")} for top in
                     (artifact, tmp_path / "out"))  # fmt: skip
    assert before == after
    assert {"raw/final.json", "model.sig", "claims.jsonl"} < {str(name) for name in after}


def test_the_digest_is_that_of_the_file(artifact: Path, tmp_path: Path) -> None:
    digest = archive.pack(verify(artifact), tmp_path / "a.mlopt")
    assert digest == hashlib.sha256((tmp_path / "a.mlopt").read_bytes()).hexdigest()


def test_neither_times_nor_modes_nor_the_order_of_creation_count(artifact: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    (copy / "raw").mkdir(parents=True)
    for name in sorted((path.relative_to(artifact) for path in artifact.rglob("*.*")), reverse=True):
        shutil.copyfile(artifact / name, copy / name)
        (copy / name).chmod(0o600)
        os.utime(copy / name, (1, 1))
    before = os.umask(0o077)
    try:
        digest = archive.pack(verify(copy), tmp_path / "b.mlopt")
    finally:
        os.umask(before)
    assert digest == archive.pack(verify(artifact), tmp_path / "a.mlopt")


def test_other_readers_understand_it_and_a_model_can_be_mapped(packed: Path) -> None:
    with zipfile.ZipFile(packed) as other:
        assert other.testzip() is None
        assert other.read("model.onnx") == MODEL
        infos = {info.filename: info for info in other.infolist()}
    assert list(infos) == sorted(infos)
    assert {info.date_time for info in infos.values()} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in infos.values()} == {zipfile.ZIP_STORED}
    data = packed.read_bytes()
    for info in infos.values():
        name, extra = struct.unpack_from("<2H", data, info.header_offset + 26)
        assert (info.header_offset + LOCAL + name + extra) % container.PAGE == 0


def test_a_large_file_is_never_in_memory(tmp_path: Path, fill: Any) -> None:
    directory = tmp_path / "large"
    put = fill()

    def put_large(folder: Path) -> layout.Content:
        content: layout.Content = put(folder)
        os.truncate(folder / "model.onnx", 64 << 20)
        return content

    layout.write(directory, put_large)
    sign(directory, KeySigner(keys.user_key().private))
    verified = verify(directory)
    tracemalloc.start()
    archive.pack(verified, tmp_path / "large.mlopt")
    archive.unpack(tmp_path / "large.mlopt", tmp_path / "out", lambda _: verified)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "out" / "model.onnx").stat().st_size == 64 << 20
    assert peak < 8 << 20


# What pack refuses


def test_a_file_changed_after_it_was_verified_is_not_packed(artifact: Path, tmp_path: Path) -> None:
    verified = verify(artifact)
    (artifact / "model.onnx").write_bytes(MODEL[::-1])
    with pytest.raises(IntegrityError, match=r"model.onnx: the file was changed after it was verified"):
        archive.pack(verified, tmp_path / "a.mlopt")
    assert not list(tmp_path.glob("*a.mlopt*"))


def test_a_signature_changed_while_it_is_packed_is_noticed(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no signed file, but its CRC stands before its content: the archive would not be one."""
    content = archive.content

    def changing(verified: Verified, name: str) -> Any:
        (artifact / "model.sig").write_bytes(b"x")
        return content(verified, name)

    monkeypatch.setattr(archive, "content", changing)
    with pytest.raises(IntegrityError, match=r"model.sig: the file was changed after it was verified"):
        archive.pack(verify(artifact), tmp_path / "a.mlopt")
    assert not list(tmp_path.glob("*a.mlopt*"))


def test_an_archive_does_not_become_part_of_its_artifact(artifact: Path) -> None:
    with pytest.raises(OutputError, match="this place is inside the artifact"):
        archive.pack(verify(artifact), artifact / "raw" / "a.mlopt")


def test_what_cannot_be_written_is_said_and_leaves_the_old_archive(
    artifact: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        archive.pack(verify(artifact), tmp_path / "absent" / "a.mlopt")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = packed.read_bytes()
    verified = verify(artifact)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        archive.pack(verified, packed)
    assert packed.read_bytes() == before
    assert names(packed.parent) == ["digits", "digits-1.mlopt"]


# Hostile archives


@pytest.mark.heavy
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(packed: Path, case: str) -> None:
    change, message = HOSTILE[case]
    good = packed.read_bytes()
    bad = change(good)
    assert bad != good
    assert message in refused(packed, bad)


def test_another_signer_is_told_apart_from_a_broken_archive(packed: Path, tmp_path: Path) -> None:
    keys.user_key_path().unlink()
    keys.public_path(keys.user_key_path()).unlink()
    keys.user_key()
    with pytest.raises(UnknownSignerError, match=r"digits-1.mlopt/model.sig: signed by an unknown key"):
        archive.unpack(packed, tmp_path / "out", verify)
    assert names(tmp_path) == ["made"]


@pytest.mark.parametrize("place", ["absent", "directory", "pipe"])
def test_what_is_no_file_is_a_users_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    wanted = "No such file or directory" if place == "absent" else "this is not a regular file"
    with pytest.raises(UserError, match=wanted) as caught:
        archive.unpack(tmp_path / place, tmp_path / "out", verify)
    assert caught.value.exit_code == ExitCode.USAGE


# Where it is unpacked


def test_an_older_artifact_is_replaced_and_a_newer_one_is_not(
    packed: Path, artifact: Path, tmp_path: Path, fill: Any
) -> None:
    out = tmp_path / "out"
    archive.unpack(packed, out, verify)
    archive.unpack(packed, out, verify)  # the same one
    layout.write(artifact, fill())
    sign(artifact, KeySigner(keys.user_key().private))
    newer = tmp_path / "digits-2.mlopt"
    archive.pack(verify(artifact), newer)
    assert archive.unpack(newer, out, verify).manifest.version == 2
    with pytest.raises(OutputError, match="a newer artifact is there, and is not replaced"):
        archive.unpack(packed, out, verify)
    assert verify(out).manifest.version == 2
    assert names(tmp_path) == ["digits-2.mlopt", "made", "out"]


def test_files_of_others_are_not_overwritten(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="the directory holds something else than an artifact"):
        archive.unpack(packed, tmp_path / "out", verify)
    (tmp_path / "out" / "thesis.txt").rename(tmp_path / "thesis.txt")
    with pytest.raises(OutputError, match="this cannot become a directory"):
        archive.unpack(packed, tmp_path / "thesis.txt", verify)
    assert archive.unpack(packed, tmp_path / "out", verify).files


def test_an_artifact_larger_than_the_disk_is_not_begun(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2000, 1000, 1000))  # type: ignore[attr-defined]
    with pytest.raises(OutputError, match=r"there is no room for the artifact\n  got       1000 bytes free"):
        archive.unpack(packed, tmp_path / "out", verify)
    assert not (tmp_path / "out").exists()


def test_a_failing_check_leaves_the_old_artifact(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive.unpack(packed, out, verify)

    def strict(folder: Path) -> Verified:
        return verify(folder, min_version=2)

    with pytest.raises(
        IntegrityError, match=r"digits-1.mlopt/mlopt.json: the artifact is older than what is asked for"
    ):
        archive.unpack(packed, out, strict)
    assert verify(out).manifest.version == 1
    assert not (tmp_path / ".out.new").exists()


# Whatever the bytes


SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(st.data())
def test_no_byte_of_an_archive_can_be_changed(packed: Path, data: st.DataObject) -> None:
    good = packed.with_name("good")
    if not good.exists():
        packed.rename(good)
    whole = good.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    refused(packed, put(whole, at, bytes([whole[at] ^ data.draw(st.integers(1, 255))])))
