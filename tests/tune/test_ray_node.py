"""What runs on a node: it says what it is, and does calls in a laboratory. Without Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toy_laboratory import opener, refusing

import mlopt
from mlopt.core.errors import UserError
from mlopt.core.hardware import detect
from mlopt.tune.ray_node import LaboratoryHost, facts, prints


def test_a_node_says_what_it_is_and_what_it_sees_otherwise(tmp_path: Path) -> None:
    for name in ("same", "longer", "other"):
        (tmp_path / name).write_bytes(b"as it was")
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").touch()
    seen = prints(sorted(tmp_path.iterdir()))
    (tmp_path / "longer").write_bytes(b"as it was, and more")
    (tmp_path / "other").write_bytes(b"as it is ")
    (tmp_path / "gone").unlink()
    found = facts(seen)
    assert found.version == mlopt.__version__
    assert found.hardware == (detect().cpu, detect().isa, detect().cores)
    assert [Path(each.partition(":")[0]).name for each in found.differs] == ["gone", "longer", "other"]
    assert "No such file" in found.differs[0]


def test_calls_are_done_in_one_laboratory(tmp_path: Path) -> None:
    host = LaboratoryHost(opener(tmp_path), {})
    first, second = host.do("wait", [1, 0.01]), host.do("wait", [2, 0])
    host.close()
    assert first["value"]["number"] == 1
    assert first["ended"] - first["began"] >= 0.01
    assert second["began"] >= first["ended"]
    assert [name.name.partition("-")[0] for name in sorted(tmp_path.iterdir())] == ["closed", "opened"]


def test_an_error_of_mlopt_is_an_answer_and_a_fault_is_none(tmp_path: Path) -> None:
    host = LaboratoryHost(opener(tmp_path), {})
    assert host.do("fail", [])["error"] == "it does not converge: NaN"
    with pytest.raises(ZeroDivisionError):
        host.do("stumble", [])


def test_a_laboratory_that_cannot_be_opened_says_why() -> None:
    try:
        refusing()
    except UserError as error:
        expected = error.problems[0]
    outcome = LaboratoryHost(refusing, {}).do("wait", [1, 0])
    assert [(each["what"], each["where"], each["fix"]) for each in outcome["unopened"]] == [
        (expected.what, expected.where, expected.fix)
    ]


def test_variables_are_as_they_are_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MLOPT_CACHE", "elsewhere")
    LaboratoryHost(opener(tmp_path), {"OMP_NUM_THREADS": None, "MLOPT_CACHE": "/shared"})
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["MLOPT_CACHE"] == "/shared"
