"""A passphrase comes from a file, the environment or a terminal, and goes nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlopt.artifact import layout
from mlopt.artifact.signing import keys, passphrase
from mlopt.artifact.verify import verify
from mlopt.cli import signing_options
from mlopt.core.errors import ExitCode, OutputError

SECRET = "correct-Ooph4ahz"


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests at a terminal is not asked."""
    monkeypatch.setattr("os.isatty", lambda _descriptor: False)


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    keys.create_key(tmp_path / "a.key", secret=SECRET.encode())
    return tmp_path / "a.key"


def private_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_file_is_read_but_for_one_newline(encrypted: Path, tmp_path: Path, ending: bytes) -> None:
    file = private_file(tmp_path / "p", SECRET.encode() + ending)
    assert passphrase.of_key(encrypted, file) == SECRET.encode()


def test_nothing_else_of_the_file_is_stripped(encrypted: Path, tmp_path: Path) -> None:
    assert passphrase.of_key(encrypted, private_file(tmp_path / "p", b" a b \n\n")) == b" a b \n"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"secret-Ooph4ahz", 0o640, r"others can read the passphrase \(mode 0640\)"),
        (b"secret-Ooph4ahz", 0o604, r"others can read the passphrase \(mode 0604\)"),
        (b"\n", 0o600, "the passphrase is empty"),
        (b"Ooph4ahz" * 200, 0o600, "the passphrase is too long"),
    ],
)
def test_a_bad_file_is_refused(encrypted: Path, tmp_path: Path, content: bytes, mode: int, message: str) -> None:
    file = private_file(tmp_path / "p", content)
    file.chmod(mode)
    with pytest.raises(OutputError, match=message) as caught:
        passphrase.of_key(encrypted, file)
    assert str(file) in str(caught.value)
    assert "Ooph4ahz" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_cannot_be_read_is_refused(encrypted: Path, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(OutputError, match=f"the passphrase cannot be read: {reason}"):
            passphrase.of_key(encrypted, path)


def test_a_pipe_is_as_good_as_a_file(encrypted: Path) -> None:
    receiver, sender = os.pipe()
    os.write(sender, f"{SECRET}\n".encode())
    os.close(sender)
    assert passphrase.of_key(encrypted, Path(f"/dev/fd/{receiver}")) == SECRET.encode()
    os.close(receiver)


@pytest.mark.process
def test_the_environment_is_read_once_and_children_do_not_get_it(
    encrypted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(passphrase.VARIABLE, SECRET)
    assert keys.load_private(encrypted).public_key() == keys.load_public(keys.public_path(encrypted))
    assert passphrase.VARIABLE not in os.environ
    child = subprocess.run(["env"], capture_output=True, text=True, check=True)
    assert SECRET not in child.stdout


def test_the_file_goes_before_the_environment_which_is_emptied_all_the_same(
    encrypted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(passphrase.VARIABLE, "another")
    assert passphrase.of_key(encrypted, private_file(tmp_path / "p", SECRET.encode())) == SECRET.encode()
    assert passphrase.VARIABLE not in os.environ


def test_a_key_that_needs_no_passphrase_empties_the_environment_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.create_key(tmp_path / "plain.key")
    monkeypatch.setenv(passphrase.VARIABLE, SECRET)
    signing_options.signer(tmp_path / "plain.key", None, None, keyless=False)
    assert passphrase.VARIABLE not in os.environ


def test_without_a_passphrase_or_a_terminal_the_three_ways_are_named(encrypted: Path) -> None:
    with pytest.raises(OutputError, match="the private key is encrypted") as caught:
        keys.load_private(encrypted)
    assert caught.value.exit_code == ExitCode.USAGE
    for way in ("--passphrase-file FILE", "MLOPT_KEY_PASSPHRASE", "at a terminal"):
        assert way in str(caught.value)


def at_a_terminal(command: Sequence[object], *typed: str) -> tuple[int, str]:
    """Run a command that has a terminal of its own, answer its questions, and return its exit code and its screen."""
    process, screen = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "mlopt", *map(str, command)])
    shown = b""
    answers = list(typed)
    while True:
        try:
            piece = os.read(screen, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        shown += piece
        if answers and shown.rstrip(b" ").endswith(b":"):
            os.write(screen, f"{answers.pop(0)}\n".encode())
            shown += b"<typed>"
    os.close(screen)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


@pytest.mark.process
def test_a_person_is_asked_and_what_is_typed_is_not_shown(tmp_path: Path, fill: Any) -> None:
    key = tmp_path / "a.key"
    code, screen = at_a_terminal(["keygen", "--encrypt", "-o", key], SECRET, SECRET)
    assert (code, "The same again: " in screen) == (ExitCode.OK, True), screen
    assert SECRET not in screen
    layout.write(tmp_path / "digits", fill())
    code, screen = at_a_terminal(["sign", tmp_path / "digits", "--key", key], SECRET)
    assert (code, f"Passphrase of {key}: " in screen) == (ExitCode.OK, True), screen
    assert SECRET not in screen
    public = keys.load_public(keys.public_path(key))
    assert verify(tmp_path / "digits", signing_options.trust(keys.public_path(key), None, None, None)).signer == (
        keys.fingerprint(public)
    )


@pytest.mark.process
def test_two_passphrases_that_differ_make_no_key(tmp_path: Path) -> None:
    code, screen = at_a_terminal(["keygen", "--encrypt", "-o", tmp_path / "a.key"], SECRET, "another-Ooph4ahz")
    assert code == ExitCode.USAGE
    assert "the two passphrases differ" in screen
    assert "Ooph4ahz" not in screen
    assert not (tmp_path / "a.key").exists()


@pytest.mark.process
def test_a_wrong_passphrase_and_none_at_all_are_said_to_the_person(encrypted: Path, tmp_path: Path) -> None:
    for typed, message in (("wrong-Ooph4ahz", "the passphrase does not open the key"), ("\x04", "nothing was typed")):
        code, screen = at_a_terminal(["sign", tmp_path, "--key", encrypted], typed)
        assert code == ExitCode.USAGE, screen
        assert message in screen
        assert "Ooph4ahz" not in screen
