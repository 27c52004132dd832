"""``mlopt verify``: what it prints and how it exits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tampering import attest
from verb_runs import running

from mlopt.artifact import claims
from mlopt.artifact.signing import keys
from mlopt.cli.sign import sign
from mlopt.cli.verify import verify
from mlopt.core.errors import ExitCode, OutputError, UserError

run = running(sign, verify)


def test_verify_says_who_signed_and_what_the_gates_said(made: Callable[..., Path]) -> None:
    artifact = made()
    run("sign", artifact)
    result = run("verify", artifact, "--require-gate", "pass", "--min-version", 1)
    assert result.exit_code == ExitCode.OK
    assert f"untouched: {artifact} is what was signed (4 files)" in result.stdout
    assert f"signed by  {keys.fingerprint(keys.user_public())}" in result.stdout
    assert "gates      pass\n" in result.stdout


def test_verify_prints_one_json_document(made: Callable[..., Path]) -> None:
    artifact = made()
    run("sign", artifact)
    value = json.loads(run("verify", artifact, "--json").stdout)
    assert value["verdict"] == "pass"
    assert value["version"] == 1
    assert value["signer"] == keys.fingerprint(keys.user_public())
    assert value["files"]["model.onnx"] == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize(("verdict", "code"), [("fail", ExitCode.GATE_FAILED), ("inconclusive", ExitCode.INCONCLUSIVE)])
def test_a_required_gate_decides_the_exit_code(made: Callable[..., Path], verdict: str, code: ExitCode) -> None:
    artifact = made(verdict)
    with pytest.raises(OutputError, match="not signed"):
        run("sign", artifact)
    run("sign", artifact, "--allow-ungated")
    plain = run("verify", artifact)
    assert plain.exit_code == ExitCode.OK
    assert f"gates      {verdict}, signed all the same (--allow-ungated)" in plain.stdout
    required = run("verify", artifact, "--require-gate", "pass")
    assert required.exit_code == code
    assert f"the gates did not pass: {verdict}" in required.stderr


def test_a_directory_that_is_not_there_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the artifact does not exist"):
        run("verify", tmp_path / "none")


def test_the_command_names_the_claims_that_hold(made: Callable[..., Path]) -> None:
    signed = made()
    run("sign", signed)
    assert "claims     none by this signer\n" in run("verify", signed).stdout
    private = keys.user_key().private
    lines = [attest(signed, private, claims.PREDICATES["provenance"]), attest(signed, private, "urn:\x1b[2J")]
    (signed / "claims.jsonl").write_bytes(b"".join(lines))
    wanted = ["--require-predicate", "provenance", "--require-predicate", "urn:\x1b[2J", "--name", "digits"]
    assert "claims     provenance, 'urn:\\x1b[2J'\n" in run("verify", signed, *wanted).stdout
    found = json.loads(run("verify", signed, "--json").stdout)["claims"]
    own = keys.fingerprint(keys.user_public())
    assert found[0] == {"predicate_type": claims.PREDICATES["provenance"], "signer": own}
