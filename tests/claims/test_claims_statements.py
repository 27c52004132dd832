"""The three statements: derived from signed files alone, true to their schemas, silent about whose machine it was."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from packed_artifact import STARTED

from mlopt import claims
from mlopt.artifact.claims import PREDICATES
from mlopt.artifact.sign import digest


def predicates(directory: Path) -> dict[str, Any]:
    return {name: json.loads(text)["predicate"] for name, text in claims.statements(directory).items()}


def test_every_statement_is_about_the_root_and_every_file(artifact: Path) -> None:
    made = {name: json.loads(text) for name, text in claims.statements(artifact).items()}
    assert {name: value["predicateType"] for name, value in made.items()} == PREDICATES
    found = digest(artifact)
    subjects = {"digits": found.root, **found.files}
    assert {"mlopt.json", "model.onnx", "bom.cdx.json", "report.json", "recipe.lock.yaml"} < set(subjects)
    for value in made.values():
        assert {subject["name"]: subject["digest"]["sha256"] for subject in value["subject"]} == subjects


def test_they_are_the_same_wherever_the_artifact_lies(artifact: Path, tmp_path: Path) -> None:
    before = claims.statements(artifact)
    (artifact / "claims.jsonl").unlink()
    (artifact / "model.sig").unlink()
    artifact.rename(tmp_path / "elsewhere")
    assert claims.statements(tmp_path / "elsewhere") == before


def test_whose_machine_it_was_is_not_told(artifact: Path, packed: Path) -> None:
    folder = str(packed.parent)
    texts = [*claims.statements(artifact).values(), (artifact / "bom.cdx.json").read_bytes()]
    assert folder in (artifact / "recipe.lock.yaml").read_text()  # the recipe named its files by absolute paths
    told = b"\n".join(texts).decode()
    for secret in (folder, str(Path.home()) + "/", f'"{getpass.getuser()}"', socket.gethostname()):
        assert secret not in told


def test_they_have_the_form_that_in_toto_and_slsa_define(artifact: Path) -> None:
    pytest.importorskip("in_toto_attestation", reason="needs in-toto-attestation (extra dev)")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    for text in claims.statements(artifact).values():
        parsed = json_format.Parse(text, statement_pb2.Statement())  # refuses fields that are not defined
        Statement.copy_from_pb(parsed).validate()
    made = predicates(artifact)
    provenance = json_format.ParseDict(made["provenance"], provenance_pb2.Provenance())
    assert provenance.build_definition.build_type
    assert provenance.run_details.metadata.started_on.ToJsonString() == STARTED
    assert all(each.digest for each in provenance.build_definition.resolved_dependencies if not each.uri)
    result = json_format.ParseDict(made["test-result"], test_result_pb2.TestResult())
    assert list(result.passed_tests) == ["latency.p95_ms <= 14"]
