"""``mlopt digest``: what a signature covers, as other tools print it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from verb_runs import running

from mlopt.cli.digest import digest
from mlopt.cli.sign import sign
from mlopt.cli.verify import verify
from mlopt.core.errors import UserError

run = running(sign, verify, digest)


def test_digest_prints_what_sha256sum_prints(made: Callable[..., Path]) -> None:
    artifact = made()
    lines = run("digest", artifact).stdout.splitlines()
    assert f"{hashlib.sha256(b'weights').hexdigest()}  model.onnx" in lines
    value = json.loads(run("digest", artifact, "--json").stdout)
    assert lines[-1] == f"{value['root']}  (root)"
    run("sign", artifact)
    assert json.loads(run("verify", artifact, "--json").stdout)["root"] == value["root"]


def test_a_directory_that_is_not_there_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the artifact does not exist"):
        run("digest", tmp_path / "none")
