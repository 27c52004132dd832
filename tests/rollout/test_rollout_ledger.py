"""The ledger's file: nothing is lost by a kill, torn lines are told of, and a lock keeps writers apart."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rollout_world import A, a_book, own_signer, stranger

from mlopt.artifact.signing import keys
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.core.errors import IntegrityError, OutputError, UserError
from mlopt.rollout import ledger
from mlopt.rollout.chain import digest_of
from mlopt.rollout.ledger import AnyTrust

SAID: dict[str, Any] = {
    "target": "embedded http://127.0.0.1:1", "model": "digits", "run": "0" * 16, "step": "start", "phase": "done",
    "digest": A, "before": {}, "after": {}, "why": "because",
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rollout.jsonl"


@pytest.fixture
def trust() -> KeyTrust:
    return KeyTrust(own_signer().private.public_key())


def written(file: Path, trust: KeyTrust, count: int) -> bytes:
    for _ in range(count):
        ledger.append(file, trust, own_signer(), SAID)
    return file.read_bytes()


def test_lines_are_added_and_read(file: Path, trust: KeyTrust) -> None:
    data = written(file, trust, 3)
    content = ledger.read(file, trust)
    assert [each.number for each in content.records] == [0, 1, 2]
    assert content.torn == b""
    assert content.head == digest_of(data.splitlines()[-1])
    more = ledger.append(file, trust, own_signer(), SAID)
    assert file.read_bytes().startswith(data)
    assert ledger.read(file, trust).head == more.digest


def test_without_a_file_there_is_nothing_to_read(file: Path, trust: KeyTrust) -> None:
    with pytest.raises(UserError, match="no ledger"):
        ledger.read(file, trust)
    assert ledger.read(file, trust, missing_ok=True).links == ()
    assert not file.exists()


@pytest.mark.parametrize("kept", [1, 2, 100, 0.5, -2])
def test_part_of_a_line_is_told_of_put_aside_and_noted(file: Path, trust: KeyTrust, kept: float) -> None:
    whole = written(file, trust, 2)
    last = written(file, trust, 1)[len(whole) :]
    size = int(len(last) * kept) if kept == 0.5 else int(kept) % len(last)
    torn = last[:size]
    file.write_bytes(whole + torn)
    content = ledger.read(file, trust)
    assert (len(content.links), content.torn) == (2, torn)
    assert file.read_bytes() == whole + torn, "who reads changes nothing"
    line = ledger.append(file, trust, own_signer(), SAID)
    noted = line.record.detail["torn"]
    assert isinstance(noted, dict)
    assert (noted["bytes"], noted["sha256"]) == (len(torn), digest_of(torn))
    assert (file.parent / str(noted["file"])).read_bytes() == torn
    content = ledger.read(file, trust)
    assert (len(content.links), content.torn) == (3, b"")


def test_a_line_that_lacks_but_its_newline_counts(file: Path, trust: KeyTrust) -> None:
    file.write_bytes(written(file, trust, 2).removesuffix(b"\n"))
    content = ledger.read(file, trust)
    assert (len(content.links), content.torn, content.unended) == (2, b"", True)
    assert ledger.append(file, trust, own_signer(), SAID).record.number == 2
    assert len(ledger.read(file, trust).links) == 3
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_changed_line_is_an_integrity_failure_for_readers_and_writers(file: Path, trust: KeyTrust) -> None:
    lines = written(file, trust, 3).splitlines(keepends=True)
    changed = b"".join([lines[0], lines[2]])
    file.write_bytes(changed)
    with pytest.raises(IntegrityError):
        ledger.read(file, trust)
    with pytest.raises(IntegrityError):
        ledger.append(file, trust, own_signer(), SAID)
    assert file.read_bytes() == changed


def test_a_link_is_not_followed(file: Path, trust: KeyTrust) -> None:
    elsewhere = file.with_name("elsewhere")
    elsewhere.touch()
    file.symlink_to(elsewhere)
    with pytest.raises(OutputError):
        ledger.append(file, trust, own_signer(), SAID)
    assert elsewhere.read_bytes() == b""


def test_several_may_write_if_each_is_believed(file: Path, trust: KeyTrust) -> None:
    other = stranger()
    both = AnyTrust((trust, KeyTrust(other.private.public_key())))
    ledger.append(file, trust, own_signer(), SAID)
    ledger.append(file, both, other, SAID)
    assert [each.signer for each in ledger.read(file, both).links] == [own_signer().name, other.name]
    with pytest.raises(IntegrityError):
        ledger.read(file, trust)


def test_a_failed_write_leaves_the_ledger_as_it_was(
    file: Path, trust: KeyTrust, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(file, trust, 1)

    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger.os, "fsync", broken)
    with pytest.raises(OutputError, match="No space left"):
        ledger.append(file, trust, own_signer(), SAID)
    assert file.read_bytes() == whole
    monkeypatch.undo()
    assert written(file, trust, 1).startswith(whole)


def test_threads_that_write_at_once_make_one_chain(file: Path, trust: KeyTrust) -> None:
    signer = own_signer()
    writers = [threading.Thread(target=ledger.append, args=(file, trust, signer, SAID)) for _ in range(8)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert [each.number for each in ledger.read(file, trust).records] == list(range(8))


def test_only_one_steps_at_a_time(tmp_path: Path) -> None:
    book = a_book(tmp_path)
    with book.stepping(), pytest.raises(OutputError, match="another step"), book.stepping():
        pass
    with book.stepping():
        pass


WRITER = """
import sys
from pathlib import Path
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.rollout import ledger
signer = KeySigner(keys.load_private(Path(sys.argv[2])))
said = eval(sys.argv[3])
while True:
    line = ledger.append(Path(sys.argv[1]), KeyTrust(signer.private.public_key()), signer, said)
    print(line.record.number, flush=True)
"""


@pytest.mark.process
def test_a_kill_loses_nothing_that_was_acknowledged(file: Path, trust: KeyTrust) -> None:
    own_signer()
    command = [sys.executable, "-c", WRITER, str(file), str(keys.user_key_path()), repr(SAID)]
    told = -1
    for pause in (0.0, 0.01, 0.03):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(5):
            told = int(child.stdout.readline())
        time.sleep(pause)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")
        child.stdout.close()
        child.wait()
        told = max([told, *(int(each) for each in rest[:-1] if each)])
        content = ledger.read(file, trust)
        assert len(content.links) > told
    assert [each.number for each in content.records] == list(range(len(content.links)))
