"""Claims are derived from files under the signature alone, each of them sound."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mlopt import claims
from mlopt.artifact.layout import Role
from mlopt.artifact.sign import digest
from mlopt.claims import facts
from mlopt.core.errors import IntegrityError


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
        ("report.json", b'{"data": {"calibration": {"": Infinity}}}', "Infinity is not JSON"),
        ("report.json", b'{"data": {"calibration": {"": 1e999}}}', "1e999 is too large a number"),
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


def test_what_has_no_recipe_says_nothing_of_how_it_was_made(artifact: Path) -> None:
    manifest = json.loads((artifact / "mlopt.json").read_text())
    manifest["files"] = {name: role for name, role in manifest["files"].items() if role != "recipe"}
    (artifact / "mlopt.json").write_text(json.dumps(manifest))
    (artifact / "recipe.lock.yaml").unlink()
    assert facts.read(artifact, digest(artifact)) is None


def test_a_file_is_told_by_its_name_and_its_digest(artifact: Path) -> None:
    found = facts.read(artifact, digest(artifact))
    assert found is not None
    sha256 = hashlib.sha256((artifact / "report.json").read_bytes()).hexdigest()
    assert found.file(Role.REPORT) == {"name": "report.json", "digest": {"sha256": sha256}}
    assert "lock" not in found.recipe
