"""A cache that machines share: what one made another fetches, what is damaged is not there, and no run fails for it."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import fsspec
import pytest

from mlopt.core.cache import Store
from mlopt.core.cache_entry import Key
from mlopt.core.errors import PassError
from mlopt.core.shared_cache import VARIABLE, SharedCache, configured

KEY = Key("passes", "mnist: 2 quantize", {"opset": 20})


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/shared" if request.param == "file" else f"memory://{uuid.uuid4().hex}"


def write(out: Path) -> Mapping[str, str]:
    (out / "model.onnx").write_bytes(b"model" * 1000)
    (out / "deep").mkdir()
    (out / "deep" / "weights").write_bytes(b"weights")
    return {"path": "model.onnx"}


def never(_out: Path) -> Mapping[str, str]:
    pytest.fail("made twice")


def files(url: str) -> dict[str, bytes]:
    storage, base = fsspec.core.url_to_fs(url)
    return {path: storage.cat_file(path) for path in storage.find(base)}


def change(url: str, place: str, content: bytes) -> None:
    fsspec.core.url_to_fs(url)[0].pipe_file(place, content)


def test_what_one_machine_made_another_one_fetches(url: str, tmp_path: Path) -> None:
    made, _ = Store(tmp_path / "one", SharedCache(url)).fetch(KEY, write)
    other = Store(tmp_path / "other", SharedCache(url))
    found, hit = other.fetch(KEY, never)
    assert hit
    assert found.path == tmp_path / "other" / "passes" / KEY.fingerprint
    assert (found.result, found.files) == (made.result, made.files)
    assert (found.out / "deep" / "weights").read_bytes() == b"weights"
    assert [entry.path for _, entry in other.entries()] == [found.path]
    assert list((tmp_path / "other" / "tmp").iterdir()) == []
    assert Store(tmp_path / "other").fetch(KEY, never)[1], "it now lies here, and the shared cache is not asked"


def test_its_json_is_written_last_and_names_all_files(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that dies while it uploads leaves files that no entry names."""
    shared = SharedCache(url)
    storage, _ = fsspec.core.url_to_fs(url)

    def die(*_: object, **_more: object) -> None:
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(storage), "pipe_file", die)
        Store(tmp_path / "one", shared).fetch(KEY, write)
    assert [name for name in files(url) if "/entries/" in name] == []
    assert len(files(url)) == 2
    assert not Store(tmp_path / "other", SharedCache(url)).fetch(KEY, write)[1]
    assert Store(tmp_path / "third", SharedCache(url)).fetch(KEY, never)[1]


@pytest.mark.parametrize("part", ["/blobs/", "/entries/"])
@pytest.mark.parametrize("damage", ["one bit", "cut", "empty", "gone"])
def test_a_damaged_entry_is_not_there_and_is_mended(
    url: str, part: str, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(tmp_path / "one", SharedCache(url)).fetch(KEY, write)
    before = files(url)
    place = next(name for name in before if part in name and (part == "/entries/" or len(before[name]) > 1000))
    whole = before[place]
    if damage == "gone":
        fsspec.core.url_to_fs(url)[0].rm(place)
    else:
        flipped = whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]
        change(url, place, {"one bit": flipped, "cut": whole[:50], "empty": b""}[damage])
    found, hit = Store(tmp_path / "other", SharedCache(url)).fetch(KEY, write)
    assert not hit
    assert (found.out / "model.onnx").read_bytes() == b"model" * 1000
    assert ("is not as it was made" in caplog.text) is (part == "/blobs/" or damage != "gone")
    assert list((tmp_path / "other" / "tmp").iterdir()) == []
    assert files(url) == before
    assert Store(tmp_path / "third", SharedCache(url)).fetch(KEY, never)[1]


def test_an_entry_under_another_name_does_not_count(url: str, tmp_path: Path) -> None:
    """What was made for one model does not pass for that of another."""
    Store(tmp_path / "one", SharedCache(url)).fetch(KEY, write)
    place = next(name for name in files(url) if "/entries/" in name)
    other = Key("passes", "mnist: 2 quantize", {"opset": 21})
    change(url, place.replace(KEY.fingerprint, other.fingerprint), files(url)[place])
    assert not Store(tmp_path / "two", SharedCache(url)).fetch(other, write)[1]


@pytest.mark.parametrize("name", ["../../planted", "/planted", "a/../../planted", "a//b", ".", "", "a\\b", "a\0b"])
def test_no_file_is_written_outside_its_folder(name: str, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    Store(tmp_path / "one", SharedCache(url)).fetch(KEY, write)
    place = next(path for path in files(url) if "/entries/" in path)
    content = json.loads(files(url)[place])
    change(url, place, json.dumps({**content, "files": {name: content["files"]["model.onnx"]}}).encode())
    assert not Store(tmp_path / "two", SharedCache(url)).fetch(KEY, write)[1]
    assert list(tmp_path.rglob("planted")) == []


def test_a_digest_names_no_other_file(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    Store(tmp_path / "one", SharedCache(url)).fetch(KEY, write)
    place = next(path for path in files(url) if "/entries/" in path)
    content = json.loads(files(url)[place])
    change(url, place, json.dumps({**content, "files": {"model.onnx": "../../../etc/passwd"}}).encode())
    assert not Store(tmp_path / "two", SharedCache(url)).fetch(KEY, write)[1]


@pytest.mark.parametrize("url", ["nothing://here", "file:///proc/1/nowhere"])
def test_storage_that_cannot_be_reached_is_one_warning(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, SharedCache(url))
    for opset in (1, 2):
        entry, hit = store.fetch(Key("passes", "x", {"opset": opset}), write)
        assert not hit
        assert (entry.out / "model.onnx").exists()
    assert [record.message for record in caplog.records if "is not used any more" in record.message] == caplog.messages
    assert len(caplog.messages) == 1


def test_without_fsspec_it_is_a_warning_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert not Store(tmp_path, SharedCache("s3://bucket")).fetch(KEY, write)[1]
    assert "fsspec" in caplog.text


def test_a_failure_is_not_shared(url: str, tmp_path: Path) -> None:
    def fail(_out: Path) -> Mapping[str, str]:
        raise PassError("no")

    with pytest.raises(PassError):
        Store(tmp_path, SharedCache(url)).fetch(KEY, fail)
    assert files(url) == {}


def test_a_variable_names_it_and_nothing_is_imported_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert configured() is None
    monkeypatch.setenv(VARIABLE, "s3://bucket/prefix")
    found = configured()
    assert found is not None
    assert found.url == "s3://bucket/prefix"


def test_files_that_are_there_are_not_sent_again(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    Store(tmp_path / "one", SharedCache(url)).fetch(KEY, write)
    times = {path: Path(path).stat().st_mtime_ns for path in files(url) if "/blobs/" in path}
    Store(tmp_path / "one", SharedCache(url)).fetch(Key("passes", "x", {"opset": 21}), write)
    assert {path: Path(path).stat().st_mtime_ns for path in files(url) if "/blobs/" in path} == times
    assert len([path for path in files(url) if "/entries/" in path]) == 2
