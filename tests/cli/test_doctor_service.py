"""What a machine has to bring artifacts into service: nothing is run, and no secret is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from told_commands import check_commands, check_options

from mlopt.artifact.signing import keys
from mlopt.cli import doctor_service as service
from mlopt.cli.app import run
from mlopt.cli.settings import ProjectSettings
from mlopt.core.check import Check
from mlopt.deploy.table import ENGINES, engine_named

NUMPY = "numpy==0.1"


def engines(*pins: str) -> Check:
    (check,) = service.engine_checks([replace(engine_named("triton"), pins=pins)])
    return check


def test_an_engine_that_is_not_here_is_written_for_elsewhere() -> None:
    check = engines("mlopt-is-not-installed==1.2")
    assert (check.name, check.status) == ("triton", "note")
    assert check.found.startswith("written for elsewhere: no mlopt-is-not-installed==1.2 here")


def test_another_version_than_is_written_wants_an_environment_of_its_own() -> None:
    check = engines(NUMPY)
    assert check.status == "note"
    assert "is here, and numpy==0.1 is written: start it in an environment of its own" in check.found


def test_an_engine_whose_packages_are_here_is_here() -> None:
    assert engines("numpy>=1", "packaging[nothing]>=1").status == "ok"


def test_every_engine_of_deploy_is_looked_at() -> None:
    assert [check.name for check in service.engine_checks(ENGINES)] == [each.name for each in ENGINES]


def test_tools_are_found_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "k6"
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {check.name: check for check in service.tool_checks()}
    assert found.keys() == service.TOOLS.keys()
    assert found.pop("k6") == Check("k6", "ok", str(tool))
    assert {check.status for check in found.values()} == {"note"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("purpose", service.TOOLS.values())
def test_what_a_tool_is_for_names_verbs_that_there_are(purpose: str) -> None:
    check_options(purpose)


def test_the_key_that_signs_is_told() -> None:
    none = service.key_check(ProjectSettings())
    assert (none.status, none.fix) == ("note", "mlopt keygen")
    assert service.trust_check().status == "note"
    own = keys.user_key()
    assert service.key_check(ProjectSettings()) == Check("signing key", "ok", f"your own, {own.path}")
    assert keys.fingerprint(own.private.public_key()) in service.trust_check().found


def test_a_key_that_settings_name_has_to_be_there(tmp_path: Path) -> None:
    settings = ProjectSettings(key=tmp_path / "a b.key", file=tmp_path / ".mlopt.toml")
    lacking = service.key_check(settings)
    assert lacking.status == "problem"
    assert check_commands(str(lacking.fix)) == 1
    (tmp_path / "a b.key").touch()
    assert service.key_check(settings).status == "ok"


@pytest.mark.parametrize(
    ("environment", "status"),
    [({}, "note"), ({"MLOPT_ADMIN_TOKEN": "short"}, "note"), ({"MLOPT_ADMIN_TOKEN": "s" * 30}, "ok")],
)
def test_of_a_token_only_whether_it_is_there(environment: dict[str, str], status: str) -> None:
    check = service.token_check(environment)
    assert check.status == status
    assert all(value not in f"{check.found} {check.fix}" for value in environment.values())


def test_the_whole_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPT_ADMIN_TOKEN", "of-this-test-0123456789")
    assert run(["doctor", "--deployment", "--json"]) == 0
    told = capsys.readouterr().out
    found = json.loads(told)
    assert (found["ok"], found["artifact"]) == (True, None)
    assert list(dict.fromkeys(check["group"] for check in found["checks"])) == [
        "engines", "mlopt", "tools", "keys and tokens",
    ]  # fmt: skip
    assert "of-this-test" not in told
    assert run(["doctor", "--deployment"]) == 0
    assert "signing key" in capsys.readouterr().out
