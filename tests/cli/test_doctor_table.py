"""How findings are shown: as text whose commands can be copied, as tables, as JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest

from mlopt.cli.doctor_table import show, show_groups
from mlopt.cli.table_format import TableFormat
from mlopt.core.check import Check, CheckGroup

LONG = "mlopt optimize a.yaml " + " ".join(f"--set passes.quantize.keep_{number}=true" for number in range(9))
GROUPS = (
    CheckGroup("targets", (Check("triton", "ok", "numpy 1"), Check("kserve", "problem", "no|such [bold]"))),
    CheckGroup("missing", (Check("sweep", "note", "none", LONG),)),
)
ARTIFACT = {"path": "a b", "name": "net", "version": 3, "digest": "d" * 64}


def test_groups_as_text_have_each_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_groups(TableFormat.TEXT, GROUPS, ARTIFACT)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"net, version 3, digest {'d' * 64}", "", "targets", "ok       triton  numpy 1",
    ]  # fmt: skip
    assert "problem  kserve  no|such [bold]" in lines
    assert f"         {LONG}" in lines
    assert not any(line.startswith("deploy it") for line in lines), "it cannot be"


def test_what_can_be_deployed_is_told_how(capsys: pytest.CaptureFixture[str]) -> None:
    show_groups(TableFormat.TEXT, GROUPS[1:], ARTIFACT)
    assert capsys.readouterr().out.splitlines()[-1] == "deploy it  mlopt deploy 'a b' --to ENGINE -o DIR"
    show_groups(TableFormat.TEXT, GROUPS[1:], None)
    assert "deploy it" not in capsys.readouterr().out


def test_groups_as_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    show_groups(TableFormat.JSON, GROUPS, ARTIFACT)
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["artifact"]) == (False, ARTIFACT)
    assert found["checks"][2] == {
        "group": "missing", "name": "sweep", "status": "note", "found": "none", "fix": LONG,
    }  # fmt: skip
    show_groups(TableFormat.CSV, GROUPS, ARTIFACT)
    heads, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert heads == ["group", "check", "status", "found", "fix"]
    assert rows[0] == ["targets", "triton", "ok", "numpy 1", ""]
    assert len(rows) == 3


@pytest.mark.parametrize("wanted", [TableFormat.TEXT, TableFormat.MD, TableFormat.CSV])
def test_checks_alone_are_a_table(wanted: TableFormat, capsys: pytest.CaptureFixture[str]) -> None:
    show(wanted, GROUPS[0].checks)
    told = capsys.readouterr().out
    assert all(word in told for word in ("triton", "numpy 1", "problem"))
