"""``mlopt doctor --deployment ARTIFACT``: exit codes, what is there, what is missing, and commands that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import deployed
import pytest
from load_example import record
from told_commands import check_commands, check_options

from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.cli.app import run
from mlopt.cli.doctor_deployment import signed_as
from mlopt.loadtest import files
from mlopt.results.serving import ServerRecord
from mlopt.rollout.ledger import append

A = Path("a")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact, signed with the user's own key, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return deployed.artifact(tmp_path / "words").relative_to(tmp_path)


def told(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    """Return what is printed as JSON, the checks by their group and name."""
    capsys.readouterr()
    assert run(["doctor", "--deployment", *map(str, arguments), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    groups: dict[str, dict[str, Any]] = {}
    for check in found["checks"]:
        groups.setdefault(check["group"], {})[check["name"]] = check
    return {**found, **groups}


def test_an_artifact_that_can_be_deployed_is_exit_0_with_what_is_missing(
    words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, words)
    verified = verify(words)
    assert found["ok"] is True
    assert found["artifact"] == {
        "path": "words", "name": "words", "version": 1, "digest": verified.root, "signer": verified.signer,
        "verdict": "pass",
    }  # fmt: skip
    assert set(found["targets"]) == {
        "model files", "triton", "bentoml", "kserve", "ray-serve", "fastapi", "mlopt serve",
    }  # fmt: skip
    assert {"gates", "batch sweep", "sketches", "load test", "ledger", "signer"} <= set(found["missing or to mend"])
    assert "in service" not in found


def test_every_command_that_is_told_can_be_given(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = keys.public_path(keys.user_key_path())
    for options in ([], ["--key", public]):
        checks = told(capsys, words, *options)["checks"]
        fixes = [check["fix"] for check in checks if check["fix"]]
        assert sum(map(check_commands, fixes)) >= 5
        assert all(check_options(check["found"]) >= 0 for check in checks)
        assert any(f"mlopt loadtest words {' '.join(map(str, options))}".rstrip() in fix for fix in fixes)


def test_text_ends_with_the_next_step(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--deployment", str(words), "--slo", "p99=1s", "--rate", "900"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("words, version 1, digest ")
    assert lines[-1] == "deploy it  mlopt deploy words --to ENGINE -o DIR"
    (replicas,) = (line for line in lines if line.startswith("ok       replicas"))
    assert "--rate 900 by" in replicas


def test_what_no_engine_takes_is_exit_2(
    words: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlopt.deploy.contents.RUNTIMES", ("openvino",))
    found = told(capsys, words, code=2)
    assert found["ok"] is False
    assert found["targets"]["triton"]["status"] == "problem"
    assert found["targets"]["mlopt serve"]["status"] == "ok"
    assert "load test" not in found["missing or to mend"]


def test_what_is_not_what_was_signed_is_exit_4(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.truncate(words / "model.onnx")
    assert run(["doctor", "--deployment", str(words)]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "changed after it was signed" in printed.err


def test_an_unknown_signer_is_exit_4_until_named(
    words: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = keys.public_path(keys.user_key_path())
    monkeypatch.setenv("MLOPT_CONFIG", str(tmp_path / "somebody"))
    keys.user_key()
    assert run(["doctor", "--deployment", str(words)]) == 4
    assert "signed by an unknown key" in capsys.readouterr().err
    found = told(capsys, words, "--key", public)
    assert "the key that you named" in found["security"]["signature"]["found"]
    assert "signer" not in found["missing or to mend"]


def test_the_kind_of_signature_is_that_of_the_options() -> None:
    assert [signed_as(A, None, None), signed_as(None, A, "me"), signed_as(None, None, "me")] == [
        "key", "certificate", "keyless",
    ]  # fmt: skip
    assert signed_as(None, None, None) == "own key"


@pytest.mark.parametrize(
    ("changes", "group", "said"),
    [
        ({"verdict": "pass"}, "in service", "Up to 141 requests/s kept the limits."),
        ({"verdict": "fail"}, "missing or to mend", "fail: At "),
        ({"digest": "c" * 64}, "missing or to mend", "is of another artifact, cccccccccccc"),
        ({"digest": None}, "missing or to mend", "was told no artifact"),
    ],
)
def test_a_load_test_counts_if_it_was_of_this_artifact(
    changes: dict[str, Any], group: str, said: str, words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = changes.pop("digest", verify(words).root)
    served = ServerRecord(url="http://127.0.0.1:8", model="words", digest=digest)
    files.write(record(served=served, **changes), Path("load"))
    check = told(capsys, words, "--loadtest", "load")[group]["load test"]
    assert said in check["found"]
    assert check["fix"] is None or check["fix"].endswith("--ramp -o load")


def test_what_is_no_load_test_is_refused(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("loadtest").mkdir()
    Path("loadtest/loadtest.json").write_text("{}")
    assert run(["doctor", "--deployment", str(words)]) == 2
    assert "this is no load test of mlopt" in capsys.readouterr().err


def step(name: str, digest: str, before: dict[str, int], after: dict[str, int], why: str = "") -> None:
    """Add one step to the ledger in the working folder."""
    private = keys.user_key().private
    shares = {key: {each: {"weight": weight} for each, weight in held.items()}
              for key, held in (("before", before), ("after", after))}  # fmt: skip
    said = {
        "target": "embedded http://127.0.0.1:1", "model": "words", "run": "0" * 16, "step": name, "phase": "done",
        "digest": digest, "why": why, **shares,
    }  # fmt: skip
    append(Path("rollout.jsonl"), KeyTrust(private.public_key()), KeySigner(private), said)


def test_a_ledger_tells_what_became_of_it(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, old = verify(words).root, "a" * 64
    step("start", "b" * 64, {old: 100}, {old: 90, "b" * 64: 10})
    assert "says nothing of it" in told(capsys, words)["missing or to mend"]["ledger"]["found"]
    step("start", own, {old: 100}, {old: 90, own: 10})
    assert told(capsys, words)["in service"]["ledger"]["found"].startswith("10 % of the requests after start at ")
    step("rollback", own, {old: 90, own: 10}, {old: 100}, "it was wrong\x1b[31m")
    found = told(capsys, words)["missing or to mend"]["ledger"]
    assert found["status"] == "note"
    assert found["found"].startswith("10 % of the requests were taken from it by rollback at ")
    assert "it was wrong" in found["found"]
    assert "\x1b" not in found["found"]


def test_a_ledger_that_does_not_hold_is_exit_4(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, old = verify(words).root, "a" * 64
    step("start", own, {old: 100}, {old: 90, own: 10})
    step("promote", own, {old: 90, own: 10}, {own: 100})
    ledger = Path("rollout.jsonl")
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[1:]))
    assert run(["doctor", "--deployment", str(words)]) == 4


def test_a_ledger_of_others_is_not_judged(
    words: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = keys.public_path(keys.user_key_path())
    step("start", verify(words).root, {"a" * 64: 100}, {"a" * 64: 90})
    monkeypatch.setenv("MLOPT_CONFIG", str(tmp_path / "somebody"))
    found = told(capsys, words, "--key", public)["missing or to mend"]["ledger"]
    assert found["fix"] == "mlopt rollout log rollout.jsonl --ledger-key PUB"
    keys.user_key()
    assert told(capsys, words, "--key", public)["missing or to mend"]["ledger"]["fix"] == found["fix"]
    assert check_commands(found["fix"]) == 1


def test_a_runtime_that_is_not_here_is_told(
    words: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlopt.runtimes.base.version", lambda _: None)
    check = told(capsys, words)["targets"]["mlopt serve"]
    assert (check["status"], check["found"]) == ("note", "onnxruntime is not installed here")
