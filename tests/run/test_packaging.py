"""The last stage: what lies in an artifact, who signed it, and what is found out before the long work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import sketched
from bench_models import dense
from cryptography.hazmat.primitives.asymmetric import ec
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from packed_artifact import evidence, pack, verdict
from plain_modules import NET, narrowed

from mlopt.artifact import layout
from mlopt.artifact.claims import PREDICATES
from mlopt.artifact.layout import Role
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import ExitCode, IntegrityError, ModelError, OutputError
from mlopt.core.hardware import INT8_DOT
from mlopt.formats.model import Kind, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import PassConfig
from mlopt.recipe.schema import Step
from mlopt.run import packaging
from mlopt.run.outcomes import Outcome
from mlopt.run.sketching import Sketched
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.sketches import read, write

FAILED = evidence(gates=(verdict("latency.p95_ms", verdict="fail", found="fail"),), verdict="fail")


@pytest.fixture
def signer() -> KeySigner:
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


def test_a_packed_artifact_verifies_with_all_its_claims(tmp_path: Path, signer: KeySigner) -> None:
    made = pack(tmp_path, signer)
    assert (made.signed, made.version, made.exit_code, made.messages) == (True, 1, ExitCode.OK, ())
    verified = verify(made.path, KeyTrust(signer.private.public_key()), predicates=list(PREDICATES))
    assert {claim.predicate_type for claim in verified.claims} == set(PREDICATES.values())
    assert {claim.signer for claim in verified.claims} == {signer.name}
    assert verified.manifest.files == {
        "model.onnx": Role.MODEL,
        "samples.json": Role.SAMPLES,
        "recipe.lock.yaml": Role.RECIPE,
        "report.json": Role.REPORT,
        "report.md": Role.REPORT_PAGE,
        "report.html": Role.REPORT_PAGE,
        "bom.cdx.json": Role.BOM,
    }


def test_sketches_are_signed_like_all_else_and_their_absence_is_said(tmp_path: Path, signer: KeySigner) -> None:
    document = sketched.document(20)
    made = pack(tmp_path, signer, sketches=Sketched(write(document)))
    verified = verify(made.path, KeyTrust(signer.private.public_key()))
    assert verified.manifest.files["sketches.json"] is Role.SKETCHES
    assert read((made.path / "sketches.json").read_bytes(), "artifact") == document
    (made.path / "sketches.json").write_bytes(write(sketched.document(21)))
    with pytest.raises(IntegrityError):
        verify(made.path, KeyTrust(signer.private.public_key()))
    again = pack(tmp_path, signer, sketches=Sketched(None, "not sketched: no reason"))
    assert "not sketched: no reason" in again.messages
    assert "sketches.json" not in layout.read_manifest(again.path).files


def test_without_a_signer_the_users_own_key_signs(tmp_path: Path) -> None:
    made = pack(tmp_path, None, sign=True)
    assert "made a signing key of your own" in made.messages[0]
    assert verify(made.path).signer == keys.fingerprint(keys.user_public())


def test_a_model_that_changed_after_it_was_measured_is_not_packed(
    tmp_path: Path, signer: KeySigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, copy = dense(tmp_path / "other.onnx", layers=3), shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", lambda _, target: copy(other, target))
    with pytest.raises(ModelError, match="the model changed after it was measured"):
        pack(tmp_path, signer)
    assert not (tmp_path / "digits").exists()


def test_what_is_not_signed_has_no_claims(tmp_path: Path, signer: KeySigner) -> None:
    made = pack(tmp_path, signer, FAILED)
    assert (made.signed, made.exit_code) == (False, ExitCode.GATE_FAILED)
    assert "--allow-ungated" in made.messages[0]
    assert not {"model.sig", "claims.jsonl"} & {path.name for path in made.path.iterdir()}
    made = pack(tmp_path, None)
    assert not {"model.sig", "claims.jsonl"} & {path.name for path in made.path.iterdir()}


def test_a_claim_about_the_last_version_does_not_fit_the_next(tmp_path: Path, signer: KeySigner) -> None:
    stale = (pack(tmp_path, signer).path / "claims.jsonl").read_bytes()
    made = pack(tmp_path, signer)
    assert made.version == 2
    assert (made.path / "claims.jsonl").read_bytes() != stale
    (made.path / "claims.jsonl").write_bytes(stale)
    with pytest.raises(IntegrityError, match="the claim is about another artifact"):
        verify(made.path, KeyTrust(signer.private.public_key()))


def test_a_run_is_compared_with_the_one_whose_artifact_it_replaces(tmp_path: Path, signer: KeySigner) -> None:
    assert pack(tmp_path, signer).messages == ()
    made = pack(tmp_path, signer, evidence(name="digits"))
    assert made.messages[0].startswith("compared with version 1, which this replaces (")
    assert "  the same size: 4.30 MB" in made.messages
    (made.path / "report.json").write_text("{")
    assert pack(tmp_path, signer).messages == (
        "version 2, which this replaces, cannot be compared: this is not a report of mlopt",
    )


def test_no_clobber_keeps_what_is_there_and_is_told_before_the_work(tmp_path: Path, signer: KeySigner) -> None:
    out = pack(tmp_path, signer, clobber=False).path
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputError, match="there is an artifact already") as caught:
        packaging.check_possible(out, signer, None, sign=True, clobber=False)
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(OutputError, match="there is an artifact already"):  # one that came while the run was at work
        pack(tmp_path, signer, clobber=False)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "empty").mkdir()
    assert packaging.check_possible(tmp_path / "empty", signer, None, sign=True, clobber=False) is signer


def test_what_cannot_work_is_found_before_the_long_work(tmp_path: Path, signer: KeySigner) -> None:
    out = tmp_path / "out"
    assert packaging.check_possible(out, signer, None, sign=True) is signer
    with pytest.raises(OutputError, match="the key file does not exist"):
        packaging.check_possible(out, None, tmp_path / "no.key", sign=True)
    assert packaging.check_possible(out, None, tmp_path / "no.key", sign=False) is None
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="this cannot become a directory"):
        packaging.check_possible(tmp_path / "file", signer, None, sign=True)


def test_the_users_own_key_is_opened_first_if_there_is_one(tmp_path: Path) -> None:
    assert packaging.check_possible(tmp_path / "out", None, None, sign=True) is None
    own = keys.user_key()
    found = packaging.check_possible(tmp_path / "out", None, None, sign=True)
    assert found is not None
    assert found.name == keys.fingerprint(own.private.public_key())


def test_an_encrypted_key_is_opened_once_and_the_passphrase_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.create_key(tmp_path / "ci.key", secret=b"open sesame")
    monkeypatch.setenv("MLOPT_KEY_PASSPHRASE", "open sesame")
    found = packaging.check_possible(tmp_path / "out", None, tmp_path / "ci.key", sign=True)
    assert found is not None
    assert found.name == keys.fingerprint(keys.load_public(tmp_path / "ci.pub"))
    assert "MLOPT_KEY_PASSPHRASE" not in os.environ


def _with_data_in(name: str, folder: Path) -> Path:
    model = onnx.load(dense(folder / "plain.onnx"))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.eye(64, dtype=np.float32), "w0"))
    external_data_helper.convert_model_to_external_data(model, location=name, size_threshold=0)
    onnx.save(model, folder / "split.onnx")
    return folder / "split.onnx"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name", ["a b.bin", "größe.bin", "report.json", "bom.cdx.json", "mlopt.json", "model.sig", "sketches.json"]
)
def test_external_data_under_a_name_that_no_artifact_can_hold_go_into_the_graphs_file(
    tmp_path: Path, signer: KeySigner, name: str
) -> None:
    _with_data_in(name, tmp_path).rename(tmp_path / "source.onnx")
    made = pack(tmp_path, signer)
    assert [file.name for file in open_onnx(made.path / "model.onnx").files] == ["model.onnx"]
    weight = onnx.load(made.path / "model.onnx").graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(weight), np.eye(64))


def test_every_file_of_a_model_is_in_the_manifest_and_the_bill(tmp_path: Path, signer: KeySigner) -> None:
    _with_data_in("weights.bin", tmp_path).rename(tmp_path / "source.onnx")
    made = pack(tmp_path, signer)
    assert layout.read_manifest(made.path).files["weights.bin"] is Role.MODEL_DATA
    assert b'"weights.bin"' in (made.path / "bom.cdx.json").read_bytes()
    assert "weights.bin" in verify(made.path, KeyTrust(signer.private.public_key())).files


@pytest.mark.parametrize(("largest", "safe"), [(127, tuple(sorted(INT8_DOT))), (64, ())])
def test_the_manifest_says_which_cpus_compute_the_weights_right(
    tmp_path: Path, largest: int, safe: tuple[str, ...]
) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["n", 4])],
        [numpy_helper.from_array(np.full((8, 4), largest, np.int8), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "source.onnx")
    assert layout.read_manifest(pack(tmp_path, None).path).safe_isa == safe


def test_a_pytorch_model_that_cannot_leave_its_place_keeps_nothing_else_from_being_shipped(
    tmp_path: Path, signer: KeySigner
) -> None:
    model = narrowed(tmp_path)
    (tmp_path / "widths.py").write_text("WIDTH = 16\n")
    made = pack(tmp_path, signer, module=model)
    assert "the PyTorch model is not kept, so `mlopt export-torch` has none" in made.messages[0]
    assert "changed after the model was built" in made.messages[0]
    assert not (made.path / "torch").exists()
    verify(made.path, KeyTrust(signer.private.public_key()))


def test_a_file_whose_name_no_artifact_holds_is_named(tmp_path: Path, signer: KeySigner) -> None:
    (tmp_path / "größe.py").write_text("WIDTH = 8\n")
    made = pack(tmp_path, signer, module=narrowed(tmp_path, NET.replace("from widths", "from größe")))
    assert r"the name 'torch/gr\xf6\xdfe.py'; rename it" in made.messages[0]


def outcome(model: Model, name: str = "prune", status: str = "applied") -> Outcome:
    return Outcome(
        Step(name=name, config=PassConfig()), 1, status, None, Deployable(model, "x", RuntimeOptions(threads=1))
    )


def test_what_is_kept_is_the_last_pytorch_model_that_a_step_changed(tmp_path: Path) -> None:
    def model(kind: str, digest: str) -> Model:
        return Model(Kind(kind), tmp_path, digest, (), (), ())

    source, pruned, final = model("torch", "a"), model("torch", "b"), model("onnx", "c")
    shipped = (outcome(pruned), outcome(final, "export"))
    assert packaging.changed_module(shipped, source, final) == pruned
    assert packaging.changed_module((outcome(pruned), *shipped), source, final) == pruned
    assert packaging.changed_module(shipped[1:], source, final) is None
    assert packaging.changed_module((outcome(source), shipped[1]), source, final) is None
    assert packaging.changed_module(shipped[1:], source, final, trained=True) == source
    assert packaging.changed_module(shipped, source, final, trained=True) == pruned
    assert packaging.changed_module(shipped[1:], final, final, trained=True) is None
    assert packaging.changed_module((outcome(pruned, status="dropped"), shipped[1]), source, final) is None
    assert packaging.changed_module((outcome(pruned),), source, pruned) is None, "it is what is shipped"
