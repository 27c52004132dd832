"""``mlopt sign``: whose key signs, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from verb_runs import running

from mlopt.artifact.signing import keys
from mlopt.cli.sign import sign
from mlopt.core.errors import UserError

run = running(sign)


def test_sign_makes_a_key_on_first_use_and_says_where(made: Callable[..., Path]) -> None:
    first = run("sign", made())
    assert f"made your signing key: {keys.user_key_path()}" in first.stderr
    assert keys.fingerprint(keys.user_public()) in first.stdout
    assert "made your signing key" not in run("sign", made()).stderr


def test_a_directory_that_is_not_there_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the artifact does not exist"):
        run("sign", tmp_path / "none")
