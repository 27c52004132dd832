"""Runs on record: each is a line, the newest thousand stay, and what is damaged is passed over."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from gate_evidence import report

from mlopt.core.cache import Store, why_unusable
from mlopt.run import history
from mlopt.run.history import RunRecord, keep, kept, of_artifact, of_name, record


def run(folder: Path, version: int, **changes: object) -> RunRecord:
    one = record(report(created=f"2026-11-{version % 28 + 1:02}T14:20:11Z"), folder / "art", version, signed=True)
    return one.model_copy(update=changes)


def test_a_record_has_the_figures_of_the_report(tmp_path: Path) -> None:
    one = record(report(), tmp_path / "art", 3, signed=False)
    assert (one.name, one.verdict, one.version, one.speedup, one.drop_pt) == ("digits", "pass", 3, 1.36, 0.1)
    assert (one.cpu, one.vs, one.signed, one.artifact) == ("AMD EPYC 7763", "onnx_fp32", False, str(tmp_path / "art"))
    assert record(report(accuracy_drop=None), tmp_path, 1, signed=True).drop_pt is None


def test_the_newest_come_first_by_name_and_by_place(tmp_path: Path) -> None:
    runs = [run(tmp_path, 1), run(tmp_path, 2, artifact=str(tmp_path / "b")), run(tmp_path, 3, name="other")]
    for one in runs:
        keep(tmp_path, one)
    assert of_name(tmp_path, "digits").records == (runs[1], runs[0])
    assert of_artifact(tmp_path, tmp_path / "art").records == (runs[2], runs[0])
    assert history.names(tmp_path) == ["digits", "other"]
    assert of_name(tmp_path, "../../etc/passwd") == history.History(())
    assert of_name(tmp_path / "none", "digits") == history.History(())


def test_of_one_date_the_later_line_comes_first(tmp_path: Path) -> None:
    for version in (1, 2):
        keep(tmp_path, run(tmp_path, version, date="2026-11-23T14:20:11Z"))
    assert [one.version for one in of_name(tmp_path, "digits").records] == [2, 1]


def test_a_damaged_line_is_passed_over_counted_and_kept(tmp_path: Path) -> None:
    keep(tmp_path, run(tmp_path, 1))
    file = tmp_path / "history" / "digits.jsonl"
    file.write_bytes(b"\xff{half a li\n" + file.read_bytes() + b'{"name": 3}\n')
    keep(tmp_path, run(tmp_path, 2))
    found = of_name(tmp_path, "digits")
    assert [one.version for one in found.records] == [2, 1]
    assert found.damaged == 2


def test_a_key_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    keep(tmp_path, run(tmp_path, 1))
    file = tmp_path / "history" / "digits.jsonl"
    file.write_bytes(file.read_bytes().replace(b'{"name"', b'{"tomorrow":1,"name"'))
    assert of_name(tmp_path, "digits").damaged == 0


def test_the_records_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_MOST", 5)
    for version in range(1, 9):
        keep(tmp_path, run(tmp_path, version))
    assert [one.version for one in of_name(tmp_path, "digits").records] == [8, 7, 6, 5, 4]


def test_of_two_that_end_at_once_none_is_lost(tmp_path: Path) -> None:
    threads = [threading.Thread(target=keep, args=(tmp_path, run(tmp_path, version))) for version in range(1, 13)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(one.version for one in of_name(tmp_path, "digits").records) == [*range(1, 13)]
    assert [path.name for path in (tmp_path / "history").iterdir()] == ["digits.jsonl"]


def test_the_cache_is_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir(mode=0o700)
    keep(root, run(tmp_path, 1))
    assert why_unusable(root) is None
    assert Store(root).entries() == []
    assert (root / "history" / "digits.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "history").touch()
    said = kept(tmp_path, run(tmp_path, 1))
    assert said is not None
    assert said.startswith("this run is not on record for `mlopt history`: ")
