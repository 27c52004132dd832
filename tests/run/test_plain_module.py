"""A PyTorch model that leaves an artifact: what is written, that it was tried, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec
from filled_artifact import filling
from packed_artifact import pack
from plain_modules import NET, answers, answers_without_mlopt, narrowed
from torch_sources import INPUTS

from mlopt.artifact import layout
from mlopt.artifact.layout import Content, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import IntegrityError, ModelError, OutputError, UserError
from mlopt.formats.model import Model
from mlopt.formats.torch.model import open_program
from mlopt.passes.table import table
from mlopt.run import plain_module
from mlopt.run.plain_module import PlainModule

SIGNER = KeySigner(ec.generate_private_key(ec.SECP256R1()))
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def packed(folder: Path, module: Model | None) -> Verified:
    made = pack(folder, SIGNER, module=module)
    assert made.messages == ()
    return verify(made.path, KeyTrust(SIGNER.private.public_key()))


def write(verified: Verified, out: Path, **more: Any) -> PlainModule:
    return plain_module.write(verified, out, table(), **{"allow_code": True, **more})


@pytest.mark.process
@pytest.mark.heavy
def test_what_an_artifact_keeps_is_written_tried_and_needs_no_mlopt(tmp_path: Path) -> None:
    model = narrowed(tmp_path)
    verified = packed(tmp_path, model)
    kept = sorted(name for name, role in verified.manifest.files.items() if role is Role.TORCH)
    assert kept == [f"torch/{name}" for name in (
        "build.py", "mlopt_rebuild.py", "net.py", "source.json", "weights.safetensors", "widths.py",
    )]  # fmt: skip
    made = write(verified, tmp_path / "plain")
    assert made.source == f"{tmp_path}/plain/build.py:build"
    assert (made.function, made.inputs) == ("net.py:build", INPUTS)
    assert [f"torch/{name}" for name in made.files] == kept
    np.testing.assert_array_equal(answers_without_mlopt(made.path, X, tmp_path, "--train"), answers(model, X))


def test_python_takes_consent_and_nothing_is_left_without_it(tmp_path: Path) -> None:
    verified = packed(tmp_path, narrowed(tmp_path))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="takes your consent") as caught:
        write(verified, tmp_path / "plain", allow_code=False)
    assert caught.value.problems[0].got == "net.py:build"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("place", ["plain", "digits/plain"])
def test_nothing_is_overwritten_and_no_artifact_added_to(tmp_path: Path, place: str) -> None:
    verified = packed(tmp_path, narrowed(tmp_path))
    (tmp_path / "plain").mkdir()
    with pytest.raises(OutputError, match=r"is not overwritten|inside the artifact"):
        write(verified, tmp_path / place)


def test_what_changed_since_it_was_verified_is_not_written(tmp_path: Path) -> None:
    verified = packed(tmp_path, narrowed(tmp_path))
    (verified.directory / "torch/widths.py").write_text("WIDTH = 9\n")
    with pytest.raises(IntegrityError):
        write(verified, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


@pytest.mark.process
@pytest.mark.heavy
def test_python_that_reads_what_the_artifact_has_not_is_an_error(tmp_path: Path) -> None:
    text = NET.replace("def build():", "from pathlib import Path\n\n"
                       "def build():\n    (Path(__file__).parent / 'more.txt').read_text()")  # fmt: skip
    (tmp_path / "more.txt").write_text("")
    verified = packed(tmp_path, narrowed(tmp_path, text))
    with pytest.raises(ModelError, match=r"build\(\) failed") as caught:
        write(verified, tmp_path / "plain")
    assert "more.txt" in str(caught.value.problems[0].got)
    assert str(caught.value.problems[0].where).startswith(f"{tmp_path}/plain/net.py")
    assert not (tmp_path / "plain").exists()


@pytest.mark.process
@pytest.mark.heavy
def test_what_answers_otherwise_than_the_artifacts_own_is_not_written(tmp_path: Path) -> None:
    verified = packed(tmp_path, narrowed(tmp_path, NET.replace(
        "    return", "    import builtins\n    builtins.seen = getattr(builtins, 'seen', 'mlopt_rebuild' in "
        "__import__('sys').modules)\n    return", 1,
    ).replace("torch.nn.ReLU()", "torch.nn.Tanh() if __import__('builtins').seen else torch.nn.ReLU()")))  # fmt: skip
    with pytest.raises(ModelError, match="does not make the model that the artifact holds"):
        write(verified, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


@pytest.mark.process
@pytest.mark.heavy
def test_a_program_needs_no_consent(tmp_path: Path) -> None:
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.from_numpy(X),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    model = open_program(tmp_path / "net.pt2", INPUTS)
    made = write(packed(tmp_path, model), tmp_path / "plain", allow_code=False)
    assert made.files == ("build.py", "model.pt2", "source.json")
    np.testing.assert_array_equal(answers_without_mlopt(made.path, X, tmp_path), answers(model, X))


LOCKS = {
    "model: {source: net.onnx}\npasses: [simplify]": "it was not made from one",
    "model: {source: './net.py:build'}\npasses: [{export: {optional: false}}]": "no pass changed the source's",
    "model: {source: './net.py:build', keep_torch: false}\npasses: [{prune: {macs: 0.5}}]": "its recipe leaves it out",
    "model: {source: './net.py:build'}\npasses: [{prune: {macs: 0.5}}]": "holds no PyTorch model",
}


@pytest.mark.parametrize("lock", LOCKS)
def test_why_there_is_none_is_told_with_what_to_do(tmp_path: Path, lock: str) -> None:
    def fill(folder: Path) -> Content:
        found = filling()(folder)
        (folder / "recipe.lock.yaml").write_text(lock)
        return found.model_copy(update={"files": {**found.files, "recipe.lock.yaml": Role.RECIPE}})

    layout.write(tmp_path / "made", fill, seal=lambda folder: sign(folder, SIGNER))
    with pytest.raises(UserError, match=LOCKS[lock]) as caught:
        write(verify(tmp_path / "made", KeyTrust(SIGNER.private.public_key())), tmp_path / "plain")
    assert caught.value.problems[0].fix
    assert not (tmp_path / "plain").exists()
