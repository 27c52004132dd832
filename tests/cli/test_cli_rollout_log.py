"""The verbs ``rollout log`` and ``rollout summary``: what the ledger says, once it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packed_artifact import pack
from rollout_world import MemoryTarget, a_book, artifact, own_signer, root_of

from mlopt.cli.app import run
from mlopt.rollout import steps
from mlopt.rollout.steps import StartRequest


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    book, target = a_book(tmp_path), MemoryTarget.holding(a=100)
    steps.start(target, book, StartRequest(artifact(tmp_path, 2), None, why="it is [bold]faster[/bold]\x1b[31m"))
    steps.promote(target, book, "")
    return book.path


def test_lines_and_head(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollout", "log", str(ledger)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines[1:-1]] == [
        ["start", "begun"], ["start", lines[2].split()[2]], ["promote", "begun"], ["promote", lines[4].split()[2]]
    ]  # fmt: skip
    assert "[bold]faster[/bold]" in lines[1]
    assert "\x1b" not in "".join(lines)
    assert lines[-1].startswith("4 lines hold; head ")


def test_a_head_that_was_kept_finds_a_cut_end(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollout", "log", str(ledger), "--json"]) == 0
    head = json.loads(capsys.readouterr().out)["head"]
    assert run(["rollout", "log", str(ledger), "--head", head]) == 0
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-1]))
    assert run(["rollout", "log", str(ledger)]) == 0
    assert run(["rollout", "log", str(ledger), "--head", head]) == 4


@pytest.mark.parametrize("tamper", ["removed", "moved", "changed"])
def test_what_was_tampered_with_exits_with_4(tamper: str, ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    if tamper == "removed":
        del lines[1]
    elif tamper == "moved":
        lines[0], lines[1] = lines[1], lines[0]
    else:
        lines[0] = lines[0].replace(b'"keyid": ""', b'"keyid": "x"')
    ledger.write_bytes(b"".join(lines))
    assert run(["rollout", "log", str(ledger)]) == 4
    assert f"{ledger}:" in capsys.readouterr().err.replace("\n", "")


def test_part_of_a_line_is_told_of(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.write_bytes(ledger.read_bytes() + b'{"mediaType": "appl')
    assert run(["rollout", "log", str(ledger), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["torn"]["bytes"] == 19
    assert "was killed while it wrote" in told.err


def test_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book, target = a_book(tmp_path), MemoryTarget.holding(a=100)
    packed = pack(tmp_path, own_signer()).path
    steps.start(target, book, StartRequest(packed, None))
    steps.promote(target, book, "")
    assert run(["rollout", "summary", str(book.path), "--price-per-hour", "0.4"]) == 0
    out = capsys.readouterr().out
    assert root_of(packed) in out
    assert "shipped" in out
    assert run(["rollout", "summary", str(book.path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    assert found["shipped"]["cost_per_million"] is None


def test_a_summary_without_evidence_exits_with_3(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = next(ledger.parent.glob("v2/digits"))
    directory.rename(directory.with_name("gone"))
    assert run(["rollout", "summary", str(ledger)]) == 3
    assert "none:" in capsys.readouterr().out
