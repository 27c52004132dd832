"""The three statements: derived from signed files alone, true to their schemas, silent about whose machine it was."""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packed_artifact import PASSED, SOURCES, STARTED, evidence, pack, verdict

from mlopt import __version__, claims
from mlopt.artifact import layout
from mlopt.artifact.claims import PREDICATES
from mlopt.artifact.sign import digest
from mlopt.artifact.signing.signers import KeySigner
from mlopt.claims import facts
from mlopt.core.errors import IntegrityError
from mlopt.recipe.yaml_reader import read_text
from mlopt.recipe.yaml_writer import dump


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


def test_provenance_says_what_it_was_made_of(artifact: Path) -> None:
    provenance = predicates(artifact)["provenance"]
    built, run = provenance["buildDefinition"], provenance["runDetails"]
    assert built["buildType"] == "https://mlopt.dev/optimize/v1"
    assert built["externalParameters"]["overrides"] == ["model.source=source.onnx", "target.threads=3"]
    assert built["externalParameters"]["recipe"]["resolved"]["passes"][0] == {"simplify": {"optional": False}}
    assert "lock" not in built["externalParameters"]["recipe"]["resolved"]
    assert built["internalParameters"]["seed"] == 7
    assert built["internalParameters"]["options"]["threads"] == 2
    assert built["internalParameters"]["hardware"] == {
        "model": "AMD EPYC 7763", "isa": ["avx2", "fma"], "cores": 2, "gpu": None,
    }  # fmt: skip
    needed = {each["name"]: each for each in built["resolvedDependencies"]}
    assert {name: needed[name.removeprefix("file ")]["digest"]["sha256"] for name in SOURCES} == SOURCES
    assert needed["model"]["annotations"]["source"] == "source.onnx"
    assert needed["recipe"]["digest"] == built["externalParameters"]["recipe"]["digest"]
    assert run["builder"] == {"id": "https://mlopt.dev/local/v1", "version": {"mlopt": __version__}}
    assert run["metadata"]["startedOn"] == STARTED
    assert run["metadata"]["finishedOn"] == layout.read_manifest(artifact).created
    assert run["metadata"]["invocationId"].startswith("urn:uuid:")


def test_a_package_has_the_digest_of_its_record(artifact: Path) -> None:
    needed = predicates(artifact)["provenance"]["buildDefinition"]["resolvedDependencies"]
    found = next(each for each in needed if each["name"] == "onnxruntime")
    record = Path(str(metadata.distribution("onnxruntime").locate_file("."))).glob("onnxruntime-*.dist-info/RECORD")
    assert found["digest"]["sha256"] == hashlib.sha256(next(iter(record)).read_bytes()).hexdigest()
    assert found["uri"] == "pkg:pypi/onnxruntime@1.32.0"


def test_whose_machine_it_was_is_not_told(artifact: Path, packed: Path) -> None:
    folder = str(packed.parent)
    texts = [*claims.statements(artifact).values(), (artifact / "bom.cdx.json").read_bytes()]
    assert folder in (artifact / "recipe.lock.yaml").read_text()  # the recipe named its files by absolute paths
    told = b"\n".join(texts).decode()
    for secret in (folder, str(Path.home()) + "/", f'"{getpass.getuser()}"', socket.gethostname()):
        assert secret not in told


GATES: dict[str, tuple[list[Any], str, str, str]] = {
    "all passed": ([PASSED], "pass", "PASSED", "passedTests"),
    "undecided, and that passes": (
        [verdict("speedup.median", found="inconclusive", on_inconclusive="pass")], "pass", "WARNED", "warnedTests",
    ),
    "undecided, and that warns": (
        [verdict("speedup.median", found="inconclusive", on_inconclusive="warn")], "pass", "WARNED", "warnedTests",
    ),
    "undecided": (
        [verdict("speedup.median", found="inconclusive", verdict="inconclusive")], "inconclusive", "FAILED",
        "failedTests",
    ),
    "undecided, and that fails": (
        [verdict("speedup.median", found="inconclusive", verdict="fail", on_inconclusive="fail")], "fail", "FAILED",
        "failedTests",
    ),
    "failed": ([verdict("speedup.median", found="fail", verdict="fail")], "fail", "FAILED", "failedTests"),
    "of mlopt 0.1, which does not say what was found": (
        [verdict("speedup.median", found=None)], "pass", "PASSED", "passedTests",
    ),
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(("gates", "overall", "result", "where"), GATES.values(), ids=GATES)
def test_the_test_result_is_what_the_gates_said(
    tmp_path: Path, signer: KeySigner, gates: list[Any], overall: Any, result: str, where: str
) -> None:
    found = evidence(gates=(*gates, PASSED), verdict=overall)
    directory = pack(tmp_path, signer, found, allow_ungated=True).path
    told = predicates(directory)["test-result"]
    assert told["result"] == result
    assert f"{gates[0].metric} <= 14" in told[where]
    assert "latency.p95_ms <= 14" in told["passedTests"]
    assert told["configuration"][0]["name"] == "recipe.lock.yaml"
    assert told["configuration"][1]["annotations"] == {"verdict": overall, "ungated": overall != "pass"}


def test_the_benchmark_has_the_figures_of_the_report(artifact: Path) -> None:
    told = predicates(artifact)["benchmark"]
    report = json.loads((artifact / "report.json").read_bytes())
    assert told["candidates"]["final"] == report["final"]
    assert told["candidates"][told["baseline"]] == report["baseline"]
    assert told["speedups"]["onnx_fp32"]["noise_floor"] == 0.06
    assert told["environment"] == report["environment"]
    assert [each["name"] for each in told["evidence"]] == ["report.json", "samples.json"]


def test_an_old_lock_is_still_read(artifact: Path) -> None:
    """Locks of mlopt 0.1 know neither overrides nor the start nor digests of packages."""
    lock = artifact / "recipe.lock.yaml"
    recipe = read_text(lock.read_bytes(), "lock").data
    for later in ("overrides", "started", "records"):
        del recipe["lock"][later]
    lock.write_text(dump(recipe))
    provenance = predicates(artifact)["provenance"]
    assert provenance["buildDefinition"]["externalParameters"]["overrides"] == []
    assert set(provenance["runDetails"]["metadata"]) == {"invocationId", "finishedOn"}
    packages = [each for each in provenance["buildDefinition"]["resolvedDependencies"] if "uri" in each]
    assert packages
    assert all("digest" not in package for package in packages)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe.lock.yaml", b"- 1\n", "the recipe is malformed"),
        ("recipe.lock.yaml", b"model: {}\nmetric: {}\n", "the recipe's section `lock` is malformed"),
        ("recipe.lock.yaml", b"model: {}\nmetric: {}\nlock: {mlopt: 1}\n", "the recipe's section `lock` is malformed"),
        ("recipe.lock.yaml", b"a: &x 1\nb: *x\n", "the recipe is malformed"),
        ("recipe.lock.yaml", b"\xff", "the recipe is malformed"),
        ("recipe.lock.yaml", b"#" * (2 << 20), "the file is too large"),
        ("report.json", b'{"verdict": "pass"}', "the report is malformed"),
        ("report.json", b'{"verdict": "pass", "verdict": "pass"}', "the file is not valid JSON"),
        ("mlopt.json", b"{}", "this is not the manifest"),
        ("extra", b"", "a file is not listed in mlopt.json"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_refused(
    artifact: Path, name: str, content: bytes, message: str
) -> None:
    (artifact / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=message):
        claims.statements(artifact)


def test_nothing_is_derived_from_other_bytes_than_were_signed(artifact: Path) -> None:
    found = digest(artifact)
    (artifact / "report.json").write_bytes((artifact / "report.json").read_bytes() + b"\n")
    with pytest.raises(IntegrityError, match="the file was changed while it was read"):
        facts.read(artifact, found)


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
