"""``mlopt history``: what it lists, by name, file and place, and what it says where there is nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from gate_evidence import report
from packed_artifact import pack
from verb_runs import running

from mlopt.cli.history import history
from mlopt.core.cache import default_root
from mlopt.core.errors import UserError
from mlopt.run.history import keep, record

run = running(history)


def note(folder: Path, version: int, day: int, **changes: object) -> None:
    one = record(report(created=f"2026-11-{day:02}T14:20:11Z"), folder / "digits", version, signed=version > 1)
    keep(default_root(), one.model_copy(update=changes))


def test_runs_are_listed_the_newest_first_under_their_machines(tmp_path: Path) -> None:
    note(tmp_path, 1, 3, cpu="Intel Xeon")
    note(tmp_path, 2, 5, verdict="fail")
    note(tmp_path, 3, 4, drop_pt=None)
    lines = run("history", "digits").stdout.splitlines()
    assert lines[0].split() == [
        "date",
        "(UTC)",
        "verdict",
        "runtime",
        "model",
        "signed",
        "version",
        "speedup",
        "drop",
        "size",
    ]
    assert lines[1] == "on AMD EPYC 7763:"
    first = ["2026-11-05", "14:20", "fail", "onnxruntime"]
    assert lines[2].split()[:4] == first
    assert lines[2].split()[5:] == ["yes", "2", "1.36x", "0.10", "pt", "4.30", "MB"]
    assert lines[3].split()[5:] == ["yes", "3", "1.36x", "4.30", "MB"]
    assert lines[4] == "on Intel Xeon:"
    assert lines[5].split()[5] == "no"


def test_json_has_all_and_a_damaged_line_is_said(tmp_path: Path) -> None:
    note(tmp_path, 1, 3)
    with (default_root() / "history" / "digits.jsonl").open("a") as stream:
        stream.write("{\n")
    done = run("history", "digits", "--json")
    found = json.loads(done.stdout)
    assert found["damaged"] == 1
    assert (found["runs"][0]["version"], found["runs"][0]["speedup_ci95"]) == (1, [1.31, 1.42])
    assert done.stderr == "1 damaged line of the records passed over\n"


def test_a_recipes_file_says_its_name(tmp_path: Path) -> None:
    note(tmp_path, 1, 3)
    (tmp_path / "r.yaml").write_text("name: digits\n")
    assert run("history", tmp_path / "r.yaml").stdout == run("history", "digits").stdout


def test_an_artifact_that_is_not_on_record_is_listed_from_its_own_files(tmp_path: Path) -> None:
    pack(tmp_path, None)
    (one,) = json.loads(run("history", tmp_path / "digits", "--json").stdout)["runs"]
    assert (one["version"], one["signed"], one["date"]) == (1, False, report().created)
    note(tmp_path, 1, 23)  # the same run, now on record
    assert len(json.loads(run("history", tmp_path / "digits", "--json").stdout)["runs"]) == 1


def test_a_place_whose_artifact_is_gone_still_has_its_runs(tmp_path: Path) -> None:
    pack(tmp_path, None)
    note(tmp_path, 1, 3)
    shutil.rmtree(tmp_path / "digits")
    assert len(run("history", tmp_path / "digits").stdout.splitlines()) == 3


def test_nothing_on_record_is_the_users_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run of it is on record"):
        run("history", "digits")
    note(tmp_path, 1, 3)
    with pytest.raises(UserError) as caught:
        run("history", "digit")
    assert caught.value.problems[0].fix == "did you mean 'digits'?"


def test_records_that_others_can_change_are_not_shown(tmp_path: Path) -> None:
    note(tmp_path, 1, 3)
    default_root().chmod(0o777)
    try:
        with pytest.raises(UserError, match="others can write to it"):
            run("history", "digits")
    finally:
        default_root().chmod(0o700)
