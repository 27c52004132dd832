"""The bill of materials: valid CycloneDX 1.6, true to the evidence, the same bytes for the same evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gate_evidence import DROP
from packed_artifact import PASSED, evidence, pack, verdict

from mlopt.artifact import layout
from mlopt.artifact.layout import Role
from mlopt.artifact.signing.signers import KeySigner
from mlopt.formats.model import digest_file
from mlopt.results.report import Report


def bill(folder: Path, signer: KeySigner | None = None, found: Report | None = None) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((pack(folder, signer, found).path / "bom.cdx.json").read_bytes())
    return value


def test_it_is_a_signed_file_of_the_artifact(artifact: Path) -> None:
    assert layout.read_manifest(artifact).files["bom.cdx.json"] is Role.BOM


@pytest.mark.heavy
def test_it_is_valid_by_the_published_schema(tmp_path: Path, signer: KeySigner) -> None:
    pytest.importorskip("cyclonedx", reason="needs cyclonedx-python-lib[json-validation] (extra dev)")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    lossy = DROP.model_copy(update={"pt": 1.2, "ci95": (0.8, 1.6)})
    failed = verdict("speedup.median", found="fail", verdict="fail")
    found = [evidence(), evidence(gates=(PASSED, failed), verdict="fail", accuracy_drop=lossy)]
    found += [evidence(accuracy_drop=None, data={}, final={"accuracy": None})]
    for each in found:
        text = (pack(tmp_path, signer, each, allow_ungated=True).path / "bom.cdx.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"library"', '"libary"')) is not None


def test_the_model_card_has_the_figures_with_their_intervals(tmp_path: Path) -> None:
    model = bill(tmp_path)["metadata"]["component"]
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "classification"
    assert card["modelParameters"]["inputs"] == [{"format": "x: float32[batch, 64]"}]
    figures = {metric["type"]: metric for metric in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert figures["latency.p95_ms"] == {
        "type": "latency.p95_ms", "value": "12", "slice": "AMD EPYC 7763, 2 cores; batch size 1; n = 1000",
        "confidenceInterval": {"lowerBound": "11.6", "upperBound": "12.5"},
    }  # fmt: skip
    assert "latency.p999_ms" not in figures  # it was not measured
    assert figures["accuracy"]["confidenceInterval"] == {"lowerBound": "0.969", "upperBound": "0.987"}
    assert figures["size_bytes"]["value"] == "4300000"
    assert "considerations" not in card  # nothing is known to speak against it


def test_what_was_lost_is_a_consideration(tmp_path: Path) -> None:
    failed = verdict("speedup.median", found="fail", verdict="fail")
    lossy = DROP.model_copy(update={"pt": 1.2, "ci95": (0.8, 1.6)})
    card = bill(tmp_path, found=evidence(gates=(failed,), verdict="fail", accuracy_drop=lossy))
    lost, gained = "1.2 [0.8, 1.6] points below that of onnx_fp32", "1.36 [1.31, 1.42] times the speed of onnx_fp32"
    assert card["metadata"]["component"]["modelCard"]["considerations"] == {
        "performanceTradeoffs": [f"accuracy is {lost}, for {gained}"],
        "technicalLimitations": ["It does not meet its gates (speedup.median <= 14: fail)."],
    }


def test_files_data_and_packages_are_components(tmp_path: Path) -> None:
    found = bill(tmp_path)
    model, components = found["metadata"]["component"], {each["bom-ref"]: each for each in found["components"]}
    digest = digest_file(tmp_path / "digits" / "model.onnx")
    assert model["components"] == [
        {"type": "file", "name": "model.onnx", "hashes": [{"alg": "SHA-256", "content": digest}]}
    ]
    assert model["pedigree"]["ancestors"][0]["name"] == "source.onnx"
    assert model["pedigree"]["notes"] == "passes of mlopt: simplify"
    assert components["data.evaluation"]["type"] == "data"
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": "data.evaluation"}]
    assert components["file score.py"]["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
    runtime = "pkg:pypi/onnxruntime@1.32.0"
    assert components[runtime]["components"][0]["hashes"][0]["alg"] == "SHA-256"
    assert found["dependencies"] == [{"ref": "model", "dependsOn": [runtime]}]


@pytest.mark.heavy
def test_equal_evidence_gives_equal_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        texts.append((pack(tmp_path / name, None).path / "bom.cdx.json").read_bytes())
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["metadata"]["timestamp"] == evidence().created


def test_the_package_that_stands_in_for_another_is_named(tmp_path: Path) -> None:
    environment = evidence().environment.model_copy(update={"packages": {"onnxruntime": "1.31.1 (onnxruntime-gpu)"}})
    found = bill(tmp_path, found=evidence(environment=environment))
    package = next(each for each in found["components"] if each["type"] == "library")
    assert package == {
        "type": "library", "bom-ref": "pkg:pypi/onnxruntime-gpu@1.31.1", "name": "onnxruntime-gpu",
        "version": "1.31.1", "purl": "pkg:pypi/onnxruntime-gpu@1.31.1",
    }  # fmt: skip
    assert found["dependencies"][0]["dependsOn"] == ["pkg:pypi/onnxruntime-gpu@1.31.1"]
