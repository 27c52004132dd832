"""What another user owns, can write to, or has put under a name that mlopt uses, is neither believed nor removed."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packed_artifact import pack

from mlopt.artifact.layout import check_output
from mlopt.artifact.signing import keys, passphrase
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.workspace import workspace
from mlopt.core.cache import Store, why_unusable
from mlopt.core.cache_entry import Entry, Key
from mlopt.core.errors import OutputError
from mlopt.core.locks import locked
from mlopt.run import failure_bundle
from mlopt.run.request import Request
from mlopt.run.start import start

STRANGER = 54_321
KEY = Key("passes", "mnist: 2 quantize", {"opset": 20})
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def owned(path: Path, *, owner: int | None = None, mode: int | None = None) -> None:
    if owner is not None:
        os.chown(path, owner, owner)
    if mode is not None:
        path.chmod(mode)


def make(out: Path) -> dict[str, str]:
    (out / "deep").mkdir()
    (out / "deep" / "model.onnx").write_bytes(b"ours")
    return {"path": "deep/model.onnx"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "cache")
    found.fetch(KEY, make)
    return Store(found.root)


def entry(store: Store) -> Entry:
    found = store.get(KEY)
    assert found is not None
    return found


def test_the_cache_is_this_users_alone(store: Store) -> None:
    assert why_unusable(store.root) is None
    folders = [store.root, *(path for path in store.root.glob("passes/**") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders[:3]} == {0o700}


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o770, 0o757, 0o702, 0o720])
@pytest.mark.parametrize("below", ["", "passes"])
def test_a_cache_that_others_can_write_to_is_not_used(store: Store, mode: int, below: str) -> None:
    owned(store.root / below, mode=mode)
    said = why_unusable(store.root)
    assert said is not None
    assert f"mode {mode:04o}" in said
    assert f"rm -r {store.root}" in said


@needs_root
@pytest.mark.parametrize("below", ["", "passes"])
def test_a_cache_of_another_user_is_not_used(store: Store, below: str) -> None:
    owned(store.root / below, owner=STRANGER)
    assert f"uid {STRANGER}" in (why_unusable(store.root) or "")


def test_a_cache_behind_a_link_is_judged_by_what_it_is(store: Store, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.root)
    assert why_unusable(tmp_path / "link") is None
    owned(store.root, mode=0o777)
    assert why_unusable(tmp_path / "link") is not None


def test_a_run_does_without_such_a_cache_and_says_so(
    monkeypatch: pytest.MonkeyPatch, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLOPT_CACHE", str(store.root))
    with start(Request(source=Path("m.onnx")), lambda *_: None) as started:
        assert started.store.root == store.root
    owned(store.root, mode=0o777)
    with start(Request(source=Path("m.onnx")), lambda *_: None) as started:
        assert started.store.root != store.root
    assert "is not used, and nothing is kept: others can write to it (mode 0777)" in caplog.text


def model_changed(found: Entry) -> None:
    (found.out / "deep/model.onnx").write_bytes(b"evil")


def model_and_digest_changed(found: Entry) -> None:
    import hashlib

    model_changed(found)
    file = found.path / "entry.json"
    content = json.loads(file.read_text())
    content["files"]["deep/model.onnx"] = hashlib.sha256(b"evil").hexdigest()
    file.write_text(json.dumps(content))


def moved_from_another_key(found: Entry) -> None:
    other, _ = Store(found.path.parent.parent).fetch(Key("passes", "other", {"opset": 18}), make)
    shutil.rmtree(found.path)
    other.path.rename(found.path)


def is_a_link(found: Entry) -> None:
    found.path.rename(found.path.with_name("elsewhere"))
    found.path.symlink_to("elsewhere")


def model_is_a_link(found: Entry) -> None:
    (found.out / "deep/model.onnx").rename(found.path / "kept")
    (found.out / "deep/model.onnx").symlink_to(found.path / "kept")


def file_added(found: Entry) -> None:
    (found.out / "model.onnx.data").write_bytes(b"more")


def model_gone(found: Entry) -> None:
    (found.out / "deep/model.onnx").unlink()


def rewritten(text: str) -> Callable[[Entry], None]:
    def change(found: Entry) -> None:
        (found.path / "entry.json").write_text(text)

    return change


def is_a_file(found: Entry) -> None:
    shutil.rmtree(found.path)
    found.path.write_text("odd")


def open_to_others(found: Entry) -> None:
    owned(found.path, mode=0o777)


SPOILT: dict[str, Callable[[Entry], None]] = {
    "model changed": model_changed,
    "model and digest changed": model_and_digest_changed,
    "moved from another key": moved_from_another_key,
    "a link": is_a_link,
    "model a link": model_is_a_link,
    "a file added": file_added,
    "model gone": model_gone,
    "a file": is_a_file,
    "open to others": open_to_others,
    "truncated": rewritten('{"label": "m'),
    "not an object": rewritten("[]"),
    "empty": rewritten(""),
    "deep": rewritten("[" * 100_000),
    "odd parts": rewritten('{"label": 1, "parts": null, "result": [], "files": {}, "digest": ""}'),
    "keys missing": rewritten('{"digest": "0"}'),
    "keys too many": rewritten('{"label": "", "parts": {}, "result": {}, "files": {}, "path": "/etc", "digest": "0"}'),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_an_odd_entry_is_made_again(store: Store, spoil: Callable[[Entry], None]) -> None:
    spoil(entry(store))
    made, hit = store.fetch(KEY, make)
    assert not hit
    assert (made.out / made.result["path"]).read_bytes() == b"ours"
    assert Store(store.root).fetch(KEY, make)[1]


@needs_root
@pytest.mark.parametrize("which", [".", "entry.json", "out/deep/model.onnx"])
def test_an_entry_of_another_user_is_made_again(store: Store, which: str) -> None:
    owned(entry(store).path / which, owner=STRANGER)
    made, hit = store.fetch(KEY, make)
    assert not hit
    assert (made.out / made.result["path"]).read_bytes() == b"ours"


def private(tmp_path: Path) -> Path:
    keys.create_key(tmp_path / "a.key")
    return tmp_path / "a.key"


def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("open sesame\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path / "secret"


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "private key": (private, keys.load_private),
    "public key": (lambda folder: keys.public_path(private(folder)), keys.load_public),
    "certificates": (lambda folder: keys.public_path(private(folder)), lambda path: keys.read_pem(path, what="root")),
    "passphrase": (secret, lambda path: passphrase.of_key(path, path)),
}


@needs_root
@pytest.mark.parametrize("name", READERS)
def test_what_is_believed_is_this_users(tmp_path: Path, name: str) -> None:
    file, read = READERS[name][0](tmp_path), READERS[name][1]
    read(file)
    owned(file, owner=STRANGER)
    with pytest.raises(OutputError, match=f"uid {STRANGER}"):
        read(file)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o602])
@pytest.mark.parametrize("name", READERS)
def test_what_is_believed_cannot_be_changed_by_others(tmp_path: Path, name: str, mode: int) -> None:
    file, read = READERS[name][0](tmp_path), READERS[name][1]
    owned(file, mode=mode)
    with pytest.raises(OutputError, match=rf"mode {mode:04o}"):
        read(file)


def thesis(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "thesis.tex").write_text("years of work")
    return path / "thesis.tex"


@pytest.mark.parametrize("name", [".digits.old", ".digits.new", ".digits.mlopt-abcdefgh", ".digits.mlopt-"])
def test_what_lies_beside_an_artifact_stays(tmp_path: Path, name: str) -> None:
    kept = thesis(tmp_path / name)
    pack(tmp_path, None)
    pack(tmp_path, None)
    assert kept.read_text() == "years of work"


@needs_root
def test_a_workspace_of_another_user_is_left_alone(tmp_path: Path) -> None:
    kept = thesis(tmp_path / ".digits.mlopt-abcdefgh" / "old")
    (tmp_path / ".digits.mlopt-abcdefgh" / "mlopt-workspace").touch()
    owned(tmp_path / ".digits.mlopt-abcdefgh", owner=STRANGER)
    with workspace(tmp_path / "digits"):
        pass
    assert kept.exists()
    assert not (tmp_path / "digits").exists()


def test_a_link_to_a_workspace_is_not_followed(tmp_path: Path) -> None:
    kept = thesis(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "mlopt-workspace").touch()
    (tmp_path / ".digits.mlopt-abcdefgh").symlink_to(tmp_path / "elsewhere")
    with workspace(tmp_path / "digits"):
        pass
    assert kept.exists()


LOCKS: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to(path.with_name("target")),
    "link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_follows_no_link_and_waits_for_no_pipe(tmp_path: Path, kind: str) -> None:
    (tmp_path / "target").write_text("mine")
    LOCKS[kind](tmp_path / ".digits.lock")
    for use in (lambda: locked(tmp_path / ".digits.lock").__enter__(), lambda: pack(tmp_path, None)):
        with pytest.raises(OutputError, match="something stands where the lock's file belongs"):
            use()
    assert (tmp_path / "target").read_text() == "mine"


def test_a_file_that_has_the_locks_name_keeps_its_content(tmp_path: Path) -> None:
    (tmp_path / ".digits.lock").write_text("mine")
    pack(tmp_path, None)
    check_output(tmp_path / "digits")
    assert (tmp_path / ".digits.lock").read_text() == "mine"


def test_a_failure_bundle_replaces_only_one_of_its_own(tmp_path: Path) -> None:
    kept = thesis(tmp_path / "repro")
    assert failure_bundle._place(tmp_path / "repro") == tmp_path / "repro-2"
    (tmp_path / "repro-2").mkdir()
    (tmp_path / "repro-2" / "recipe.yaml").write_text(failure_bundle._MARK + "name: x\n")
    assert failure_bundle._place(tmp_path / "repro") == tmp_path / "repro-2"
    assert kept.exists()


def test_signing_says_where_the_key_is_from(tmp_path: Path) -> None:
    """The control: with a key of one's own all of this works."""
    assert pack(tmp_path, KeySigner(keys.load_private(private(tmp_path)))).signed
