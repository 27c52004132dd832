"""The artifact appears whole or not at all, and never over something that mlopt did not make."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.artifact import layout, workspace
from mlopt.artifact.layout import Content, Role, check_output, read_manifest, write
from mlopt.core.errors import IntegrityError, MloptError, OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_first_version_is_1_and_each_write_adds_1(tmp_path: Path, fill: Any) -> None:
    out = tmp_path / "made" / "digits"
    assert write(out, fill()).version == 1
    assert write(out, fill(weights=b"better")).version == 2
    assert read_manifest(out).version == 2
    assert (out / "model.onnx").read_bytes() == b"better"
    assert names(out) == ["mlopt.json", "model.onnx", "report.json", "report.md"]
    assert names(out.parent) == ["digits"]


def test_manifest_round_trip_keeps_interface_and_options(tmp_path: Path, fill: Any) -> None:
    written = write(tmp_path / "digits", fill(nested=True))
    read = read_manifest(tmp_path / "digits")
    assert read == written
    assert read.model.inputs[0].shape == ("batch", 1, 28, 28)
    assert read.options["threads"] == 2
    assert read.file_of(Role.SAMPLES) == "raw/final.json"


def test_what_a_pytorch_model_is_made_of_lies_in_one_folder(tmp_path: Path, fill: Any) -> None:
    content = fill(nested=True)(tmp_path)
    for name, allowed in (("torch/net.py", True), ("raw/net.py", False)):
        files = {"files": {**content.files, name: Role.TORCH}}
        if allowed:
            assert Content.model_validate(dict(content) | files).files[name] is Role.TORCH
        else:
            with pytest.raises(ValueError, match="lies in torch/"):
                Content.model_validate(dict(content) | files)


def test_manifest_text(tmp_path: Path, fill: Any, golden: Callable[[str, str], None]) -> None:
    manifest = write(tmp_path / "digits", fill()).model_copy(update={"created": "2026-01-02T03:04:05Z", "mlopt": "1.0"})
    golden("artifact/mlopt.json", manifest.to_json().decode())


def test_manifest_of_the_golden_file_still_reads(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent.parent / "goldens" / "artifact" / "mlopt.json", tmp_path)
    assert read_manifest(tmp_path).name == "digits"


def test_an_empty_directory_is_filled(tmp_path: Path, fill: Any) -> None:
    (tmp_path / "digits").mkdir()
    assert write(tmp_path / "digits", fill()).version == 1


def test_seal_sees_the_whole_before_it_is_in_place(tmp_path: Path, fill: Any) -> None:
    out, seen = tmp_path / "digits", []

    def seal(folder: Path) -> None:
        seen.append((names(folder), out.exists()))
        (folder / "model.sig").write_text("{}")

    write(out, fill(), seal=seal)
    assert seen == [(["mlopt.json", "model.onnx", "report.json", "report.md"], False)]
    assert (out / "model.sig").exists()


def foreign_directory(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")


def artifact_with_notes(path: Path) -> None:
    (path / "notes.txt").write_text("mine")


def damaged_manifest(path: Path) -> None:
    (path / "mlopt.json").write_text('{"schema": "mlopt.artifact/v1"}')


@pytest.mark.parametrize(
    ("spoil", "has_artifact", "got"),
    [
        (foreign_directory, False, "it has no mlopt.json"),
        (artifact_with_notes, True, "'notes.txt'"),
        (damaged_manifest, True, "the manifest is malformed"),
    ],
)
def test_what_is_not_an_artifact_is_never_deleted(
    tmp_path: Path, fill: Any, spoil: Callable[[Path], None], has_artifact: bool, got: str
) -> None:
    out = tmp_path / "digits"
    if has_artifact:
        write(out, fill())
    spoil(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputError, match="holds something else than an artifact") as caught:
        write(out, fill(weights=b"new"))
    assert got in str(caught.value)
    assert "-o DIR" in str(caught.value)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits").write_text("a file")
    with pytest.raises(OutputError, match="cannot become a directory"):
        check_output(tmp_path / "digits")


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text("a file")
    with pytest.raises(OutputError, match="could not be written: a file is in the way"):
        check_output(tmp_path / "parent" / "digits")


def test_the_root_of_the_file_system_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot become a directory"):
        check_output(Path("/"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_parent_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="this directory is not writable"):
        check_output(tmp_path / "digits")


def test_a_full_disk_keeps_the_old_artifact(tmp_path: Path, fill: Any) -> None:
    out = tmp_path / "digits"
    write(out, fill())

    def no_room(folder: Path) -> Content:
        fill()(folder)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model.onnx"))

    with pytest.raises(OutputError, match="No space left on device") as caught:
        write(out, no_room)
    assert "model.onnx" in str(caught.value)
    assert read_manifest(out).version == 1
    assert names(tmp_path) == ["digits"]


@pytest.mark.process
def test_a_small_tmpfs_runs_full(tmp_path: Path, fill: Any) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        write(tmp_path / "digits", fill())
        with pytest.raises(OutputError, match="No space left on device"):
            write(tmp_path / "digits", fill(weights=bytes(200_000)))
        assert read_manifest(tmp_path / "digits").version == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_failing_fill_or_seal_leaves_nothing_behind(tmp_path: Path, fill: Any) -> None:
    def refuse(_folder: Path) -> None:
        raise OutputError("no key")

    with pytest.raises(OutputError, match="no key"):
        write(tmp_path / "digits", fill(), seal=refuse)
    assert names(tmp_path) == []


def test_files_that_are_not_listed_are_noticed(tmp_path: Path, fill: Any) -> None:
    def too_much(folder: Path) -> Content:
        (folder / "debug.log").write_text("left over")
        return fill()(folder)  # type: ignore[no-any-return]

    with pytest.raises(IntegrityError, match=r"a file is not listed in mlopt\.json"):
        write(tmp_path / "digits", too_much)


def test_a_verdict_that_the_report_does_not_give_is_noticed(tmp_path: Path, fill: Any) -> None:
    def embellished(folder: Path) -> Content:
        return fill("fail")(folder).model_copy(update={"verdict": "pass"})  # type: ignore[no-any-return]

    with pytest.raises(IntegrityError, match="disagree about the gates"):
        write(tmp_path / "digits", embellished)


def test_a_run_killed_between_the_two_renames_is_mended(tmp_path: Path, fill: Any) -> None:
    out, work = tmp_path / "digits", tmp_path / ".digits.mlopt-1"
    write(out, fill())
    (work / "new").mkdir(parents=True)
    (work / "mlopt-workspace").touch()
    out.rename(work / "old")
    assert write(out, fill()).version == 2
    assert names(tmp_path) == ["digits"]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_failing_rename_leaves_the_old_artifact(
    tmp_path: Path, fill: Any, monkeypatch: pytest.MonkeyPatch, exchanged: bool
) -> None:
    out = tmp_path / "digits"
    write(out, fill())
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    def fail(*_: Path) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "rename", fail_for_new)
    monkeypatch.setattr(workspace, "_exchanged", fail if exchanged else lambda *_: False)
    with pytest.raises(OutputError, match="Input/output error"):
        write(out, fill(weights=b"new"))
    assert (out / "model.onnx").read_bytes() == b"weights"
    assert names(tmp_path) == ["digits"]


def _write_often(out: Path, make: Callable[[Path], Content]) -> None:
    for _ in range(20):
        check_output(out)
        write(out, make)


@pytest.mark.process
def test_processes_that_finish_at_once_all_end_well(tmp_path: Path, fill: Any) -> None:
    context = multiprocessing.get_context("fork")
    out = tmp_path / "digits"
    workers = [context.Process(target=_write_often, args=(out, fill(weights=b"%d" % index))) for index in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert read_manifest(out).version == 60
    assert names(tmp_path) == ["digits"]


def test_the_place_is_not_looked_at_while_another_run_writes_to_it(tmp_path: Path, fill: Any) -> None:
    out = tmp_path / "digits"
    write(out, fill())
    look = threading.Thread(target=check_output, args=(out,))

    def seal(_: Path) -> None:
        look.start()
        look.join(0.3)
        assert look.is_alive()

    write(out, fill(), seal=seal)
    look.join(10)
    assert not look.is_alive()


def test_a_symbolic_link_to_the_output_directory_is_followed(tmp_path: Path, fill: Any) -> None:
    (tmp_path / "big_disk").mkdir()
    (tmp_path / "digits").symlink_to(tmp_path / "big_disk")
    write(tmp_path / "digits", fill())
    assert (tmp_path / "digits").is_symlink()
    assert read_manifest(tmp_path / "big_disk").version == 1


def edited(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda value: {**value, **changes}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edited(schema="mlopt.artifact/v9"), r"schema 'mlopt.artifact/v9'"),
        (edited(version=0), "'version': Input should be greater than or equal to 1"),
        (edited(version="2"), "'version': Input should be a valid integer"),
        (edited(created="yesterday"), "'created'"),
        (edited(surprise=1), "'surprise': Extra inputs are not permitted"),
        (edited(name="two\nlines"), "'name'"),
        (edited(ungated=True), "the verdict is 'pass'"),
        (edited(files={"../model.onnx": "model", "report.json": "report"}), "not a name that an artifact may list"),
        (edited(files={"model.onnx": "model"}), "exactly one file has the role 'report'"),
        (edited(files={"other.onnx": "model", "report.json": "report"}), "it is model.file"),
        (edited(files={"model.onnx": "model", "report.json": "report", "model.sig": "samples"}), "may list"),
    ],
)
def test_a_malformed_manifest_is_refused(
    tmp_path: Path, fill: Any, edit: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    out = tmp_path / "digits"
    write(out, fill())
    (out / "mlopt.json").write_text(json.dumps(edit(json.loads((out / "mlopt.json").read_text()))))
    with pytest.raises(IntegrityError, match=message):
        read_manifest(out)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"schema": 1, "schema": 2}', "a key occurs twice"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"schema": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b'{"schema": "\xff"}', "not valid JSON"),
        (b" " * (layout.MAX_MANIFEST_BYTES + 1), "too large"),
    ],
)
def test_a_manifest_that_is_no_sound_json_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "mlopt.json").write_bytes(data)
    with pytest.raises(IntegrityError, match=message):
        read_manifest(tmp_path)


@pytest.mark.heavy
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_no_bytes_of_a_manifest_raise_anything_else(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mlopt.json").write_bytes(data)
    with pytest.raises(MloptError):
        read_manifest(tmp_path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(["name", "model", "runtime", "options", "verdict", "ungated", "files", "version", "created"]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, key: str, value: Any) -> None:
    text = (Path(__file__).parent.parent / "goldens" / "artifact" / "mlopt.json").read_text()
    (tmp_path / "mlopt.json").write_text(json.dumps({**json.loads(text), key: value}))
    with contextlib.suppress(IntegrityError):
        manifest = read_manifest(tmp_path)
        assert manifest.model_dump(mode="json", by_alias=True)[key] == value
