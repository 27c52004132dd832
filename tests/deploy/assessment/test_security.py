"""What is said of signatures is what was verified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import deployed
from assessed import ASKED, subject, with_manifest

from mlopt.artifact.claims import PREDICATES, Claim
from mlopt.artifact.layout import Role
from mlopt.artifact.verify import verify
from mlopt.core.check import Check
from mlopt.deploy.assessment.security import security
from mlopt.deploy.assessment.subject import AssessedArtifact, AssessmentRequest, assessed


def told(found: AssessedArtifact) -> dict[str, Check]:
    return {check.name: check for check in security(found)}


def test_signer_digest_and_evidence_are_those_that_verify_found(tmp_path: Path) -> None:
    words = deployed.artifact(tmp_path / "words")
    verified = verify(words)
    found = told(assessed(AssessmentRequest(words)))
    assert found["signature"].found == f"3 files are what {verified.signer} (your own key) signed"
    assert found["digest"].found.startswith(verified.root)
    assert found["evidence"].found.endswith(verified.files["report.json"])
    assert found["claims"].found == "none of this signer; outside the signature: model.sig itself"


def test_the_kind_of_signer_is_the_one_that_was_asked_for() -> None:
    found = told(subject(replace(ASKED, signed_as="keyless")))
    assert "an identity, without a key of its own" in found["signature"].found


def test_gates_that_did_not_pass_are_a_note() -> None:
    assert told(subject())["gates"].status == "ok"
    found = told(subject(verdict="fail", ungated=True))["gates"]
    assert (found.status, found.fix) == ("note", "mlopt gate artifacts/mnist_cnn")
    assert "--allow-ungated" in found.found


def test_claims_and_what_else_is_in_it_are_named() -> None:
    claims = tuple(Claim(uri, "s", {}) for uri in (PREDICATES["provenance"], "https://example.org/other"))
    files = {
        "model.onnx": Role.MODEL, "w": Role.MODEL_DATA, "report.json": Role.REPORT, "torch/m.py": Role.TORCH,
        "bom.cdx.json": Role.BOM,
    }  # fmt: skip
    found = told(with_manifest(subject(claims=claims), files=files))
    assert found["claims"].found.startswith("provenance, https://example.org/other; outside the signature: model.sig")
    assert found["external data"].found.startswith("w: under the signature")
    assert "nothing here runs it" in found["python"].found
    assert found["bill of materials"].found == "bom.cdx.json"
    assert {"external data", "python", "bill of materials"} & set(told(subject())) == set()


def test_text_of_strangers_does_nothing() -> None:
    found = subject()
    claimed = replace(found.verified, signer="a\x1b[31m\nb")
    assert "\x1b" not in told(replace(found, verified=claimed))["signature"].found
