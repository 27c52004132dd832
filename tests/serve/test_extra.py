"""What is missing is named, with the command that brings it."""

from __future__ import annotations

import pytest

from mlopt.core.errors import MissingPackage
from mlopt.serve import extra


def test_all_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extra.check_extra()
    monkeypatch.setattr(extra, "version", lambda name: None if name in ("starlette", "uvicorn") else "1.0")
    with pytest.raises(MissingPackage, match="starlette and uvicorn are not installed") as caught:
        extra.check_extra()
    assert caught.value.problems[0].fix
