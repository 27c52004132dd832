"""``mlopt optimize``: what its options ask for, what it prints where, and the code that it ends with."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from report_example import example_report
from verb_runs import running

from mlopt.artifact.signing import keys, passphrase
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.optimize import optimize
from mlopt.core.errors import ExitCode, UserError
from mlopt.run import optimize as stages
from mlopt.run.packaging import Artifact
from mlopt.run.request import Request

run = running(optimize)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What was asked of the stages; they answer with a report whose verdict is the source's name."""
    requests: list[Request] = []

    def execute(request: Request, notify: Any, _say: Any) -> Artifact:
        requests.append(request)
        notify("measure", "round 1", 0.5)
        sys.stdout.write("a metric of the recipe prints\n")
        report = example_report(verdict=request.source.stem)
        return Artifact(Path("artifacts/net"), report, request.sign, 3, ("a message",))

    monkeypatch.setattr(stages, "execute", execute)
    return requests


def test_options_become_a_request(asked: list[Request]) -> None:
    options = ["--data", "x.npz", "-o", "out", "--set", "a=1", "--set", "b=2", "--no-sign", "--allow-ungated"]
    run("optimize", "pass.onnx", *options, "--no-cache", "--allow-code", "--allow-pickle")
    assert asked == [
        Request(
            source=Path("pass.onnx"), data=Path("x.npz"), output=Path("out"), overrides=("a=1", "b=2"), sign=False,
            allow_ungated=True, use_cache=False, allow_code=True, allow_pickle=True,
        )
    ]  # fmt: skip
    run("optimize", "pass.yaml")
    assert asked[1] == Request(source=Path("pass.yaml"))
    run("optimize", "pass.yaml", "--no-clobber")
    assert asked[2] == Request(source=Path("pass.yaml"), clobber=False)
    assert asked[2].command == asked[1].command


def test_the_runtime_is_an_override_and_in_the_command_that_makes_the_same(asked: list[Request]) -> None:
    run("optimize", "pass.yaml", "--set", "target.threads=1", "--runtime", "openvino,onnxruntime")
    assert asked[0].overrides == ("target.threads=1", "target.runtime=[openvino,onnxruntime]")
    assert asked[0].command[-2:] == ("--set", "target.runtime=[openvino,onnxruntime]")
    with pytest.raises(UserError, match="there is no such runtime"):
        run("optimize", "pass.yaml", "--runtime", "onnxruntim")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("pass", ExitCode.OK), ("fail", ExitCode.GATE_FAILED), ("inconclusive", ExitCode.INCONCLUSIVE)],
)
def test_the_verdict_is_the_exit_code(asked: list[Request], verdict: str, code: ExitCode) -> None:
    assert run("optimize", f"{verdict}.yaml").exit_code == code


def test_it_ends_with_the_summary_and_where_the_artifact_is(asked: list[Request]) -> None:
    printed = run("optimize", "pass.yaml").stdout
    assert "1.78x as fast as onnx_fp32" in printed
    assert printed.endswith("report    artifacts/net/report.html\nartifact  artifacts/net\na message\n")
    assert "artifact  artifacts/net  (not signed)\n" in run("optimize", "pass.yaml", "--no-sign").stdout


def test_json_alone_is_on_standard_output(asked: list[Request]) -> None:
    done = run("optimize", "fail.yaml", "--json")
    assert json.loads(done.stdout) == example_report(verdict="fail").model_dump(mode="json", by_alias=True)
    assert "a metric of the recipe prints" in done.stderr
    assert "artifact  artifacts/net" in done.stderr
    assert done.exit_code == ExitCode.GATE_FAILED


def test_what_a_recipe_prints_is_no_result(asked: list[Request]) -> None:
    done = run("optimize", "pass.yaml")
    assert "a metric of the recipe prints" not in done.stdout
    assert "a metric of the recipe prints" in done.stderr


def test_who_signs_is_known_before_the_work(asked: list[Request], tmp_path: Path) -> None:
    run("optimize", "pass.yaml")
    assert asked[-1].signer is None  # there is no key yet: the end of the run makes one
    keys.create_key(tmp_path / "a.key")
    run("optimize", "pass.yaml", "--key", tmp_path / "a.key")
    named = asked[-1].signer
    assert isinstance(named, KeySigner)
    assert named.name == keys.fingerprint(keys.load_public(tmp_path / "a.pub"))
    own = keys.user_key()
    run("optimize", "pass.yaml")
    found = asked[-1].signer
    assert isinstance(found, KeySigner)
    assert found.name == keys.fingerprint(own.private.public_key())


def test_a_key_that_is_not_there_ends_it_before_the_work(asked: list[Request], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the key file does not exist"):
        run("optimize", "pass.yaml", "--key", tmp_path / "none.key")
    assert asked == []


def test_what_the_recipe_runs_gets_no_passphrase(asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passphrase.VARIABLE, "correct-Ooph4ahz")
    run("optimize", "pass.yaml", "--no-sign", "--key", "none.key")
    assert asked[-1].signer is None
    assert passphrase.VARIABLE not in os.environ
