"""What a user reads when something is wrong: one cause, and the way out. The texts are golden files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopt.artifact import layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import MloptError


def changed_byte(artifact: Path, _fill: Any) -> None:
    (artifact / "model.onnx").write_bytes(b"Weights")
    verify(artifact)


def added_file(artifact: Path, _fill: Any) -> None:
    (artifact / "extra.py").touch()
    verify(artifact)


def removed_file(artifact: Path, _fill: Any) -> None:
    (artifact / "report.md").unlink()
    verify(artifact)


def unsigned(artifact: Path, _fill: Any) -> None:
    (artifact / "model.sig").unlink()
    verify(artifact)


def unknown_signer(artifact: Path, _fill: Any) -> None:
    keys.create_key(artifact.parent / "other.key")
    verify(artifact, KeyTrust.of(keys.public_path(artifact.parent / "other.key")))


def gates_failed(artifact: Path, fill: Any) -> None:
    layout.write(artifact, fill("fail"))
    sign(artifact, KeySigner(keys.user_key().private))


def readable_key(_artifact: Path, _fill: Any) -> None:
    own = keys.user_key()
    own.path.chmod(0o644)
    keys.user_key()


def foreign_output(artifact: Path, fill: Any) -> None:
    (artifact / "notes.txt").touch()
    layout.write(artifact, fill())


def full_disk(artifact: Path, _fill: Any) -> None:
    def no_room(folder: Path) -> layout.Content:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model.onnx"))

    layout.write(artifact, no_room)


CASES: dict[str, Callable[[Path, Any], None]] = {
    case.__name__: case
    for case in (
        changed_byte, added_file, removed_file, unsigned, unknown_signer, gates_failed, readable_key, foreign_output,
        full_disk,
    )
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message(case: str, tmp_path: Path, fill: Any, golden: Callable[[str, str], None]) -> None:
    own = keys.user_key()
    artifact = tmp_path / "digits"
    layout.write(artifact, fill(), seal=lambda folder: sign(folder, KeySigner(own.private)))
    with pytest.raises(MloptError) as caught:
        CASES[case](artifact, fill)
    text = f"exit {caught.value.exit_code}\n{caught.value}\n"
    for varying, name in (
        (str(tmp_path), "<tmp>"),
        (str(own.path.parent), "<keys>"),
        (keys.fingerprint(own.private.public_key()), "<own key>"),
        (_fingerprint_of(tmp_path / "other.pub"), "<other key>"),
    ):
        text = text.replace(varying, name)
    golden(f"artifact/{case}.txt", text)


def _fingerprint_of(public: Path) -> str:
    return keys.fingerprint(keys.load_public(public)) if public.exists() else "no such key"
