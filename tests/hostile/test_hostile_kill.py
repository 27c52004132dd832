"""Whatever ends a process that changes an artifact, and when: it verifies as before or as after; the next one works.

A child is killed right before each of its calls that change a folder, one after the other.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packed_artifact import pack

from mlopt import claims
from mlopt.artifact import archive, layout, workspace
from mlopt.artifact.layout import UNSIGNED, Content
from mlopt.artifact.sign import digest, sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError

CHANGES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.symlink", "ctypes.dlsym"}
"""Of Python's audit events; ``open`` for writing comes on top, and ``ctypes.dlsym`` stands before the exchange."""
KILLED, DONE = -signal.SIGKILL, 0

Step = Callable[[Path, KeySigner], object]


def _sign(folder: Path, signer: KeySigner) -> None:
    sign(folder, signer, allow_ungated=True)


def _attest(folder: Path, signer: KeySigner) -> None:
    claims.attest(folder, signer, digest(folder))


def _write(folder: Path, signer: KeySigner) -> None:
    """Replace the artifact by one with the same files, signed, as ``optimize`` does."""
    manifest = layout.read_manifest(folder)
    content = Content(**{name: value for name, value in dict(manifest).items() if name in Content.model_fields})

    def fill(new: Path) -> Content:
        for name in manifest.files:
            shutil.copyfile(folder / name, new / name)
        return content

    layout.write(folder, fill, seal=lambda new: sign(new, signer))


def _unpack(folder: Path, signer: KeySigner) -> None:
    file = folder.with_name("again.mlopt")
    archive.unpack(file, folder, lambda new: verify(new, KeyTrust(signer.private.public_key())))


WRITERS: dict[str, Step] = {"sign": _sign, "attest": _attest, "optimize": _write, "unpack": _unpack}


@pytest.fixture
def signer(tmp_path: Path) -> KeySigner:
    keys.create_key(tmp_path / "key")
    return KeySigner(keys.load_private(tmp_path / "key"))


@pytest.fixture
def made(tmp_path: Path, signer: KeySigner) -> Path:
    """A signed artifact and its archive, in a folder of their own."""
    (tmp_path / "made").mkdir()
    folder = pack(tmp_path / "made", signer).path
    archive.pack(verify(folder, KeyTrust(signer.private.public_key())), folder.with_name("again.mlopt"))
    return folder


def killed_at(number: int, work: Callable[[], object], below: Path) -> int:
    """Run ``work`` in a child that is killed before change ``number`` of what lies below a folder; return its code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writing = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event == "ctypes.dlsym" or ((event in CHANGES or writing) and _below(arguments, below)):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        work()
    except BaseException:  # noqa: BLE001 - the end of a child, told by its code
        import traceback

        traceback.print_exc()
        os._exit(9)
    os._exit(0)


def _below(arguments: tuple[Any, ...], folder: Path) -> bool:
    """Whether one of the arguments is a path below the folder, or one relative to an open folder."""
    texts = [os.fsdecode(value) for value in arguments[:2] if isinstance(value, str | bytes | os.PathLike)]
    return any(text.startswith(str(folder)) or not text.startswith("/") for text in texts)


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_killed_writer(
    tmp_path: Path, made: Path, signer: KeySigner, name: str, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(workspace, "_exchanged", lambda *_: False)
    trust, states = KeyTrust(signer.private.public_key()), 0
    for number in range(1, 400):
        place = tmp_path / f"n{number}"
        shutil.copytree(made.parent, place)
        folder = place / made.name
        code = killed_at(number, lambda at=folder: WRITERS[name](at, signer), place)  # type: ignore[misc]
        assert code in {KILLED, DONE}
        if folder.exists() or exchange:
            verify(folder, trust)
            states += 1
        WRITERS[name if folder.exists() else "unpack"](folder, signer)
        verify(folder, trust)
        assert not [path for path in place.iterdir() if ".mlopt-" in path.name]
        shutil.rmtree(place)
        if code == DONE:
            break
    else:
        pytest.fail("it never ended by itself")
    assert number > 5
    assert states > number / 2


def test_a_stray_file_is_what_this_is_about(made: Path, signer: KeySigner) -> None:
    (made / ".model.sig.1a2b").touch()
    with pytest.raises(IntegrityError):
        verify(made, KeyTrust(signer.private.public_key()))
    assert {"model.sig", "claims.jsonl"} == UNSIGNED


@pytest.mark.parametrize("name", ["sign", "attest"])
def test_without_room_beside_it(made: Path, signer: KeySigner, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume's root has no folder beside it on the same file system."""
    monkeypatch.setattr(Path, "is_mount", lambda self: self == made)
    before = sorted(path.name for path in made.parent.iterdir())
    WRITERS[name](made, signer)
    verify(made, KeyTrust(signer.private.public_key()))
    assert sorted(path.name for path in made.parent.iterdir()) == before
