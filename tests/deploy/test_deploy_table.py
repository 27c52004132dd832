"""The table of engines."""

from __future__ import annotations

import pytest

from mlopt.core.errors import UserError
from mlopt.deploy.table import ENGINES, engine_named


def test_engines_are_found_by_name_or_all_are_named() -> None:
    assert [engine_named(each.name) for each in ENGINES] == list(ENGINES)
    with pytest.raises(UserError, match="no such engine") as refused:
        engine_named("torchserve")
    assert refused.value.problems[0].expected == "triton, bentoml, kserve, ray-serve, fastapi"


def test_every_engine_is_pinned() -> None:
    assert all("==" in pin for engine in ENGINES for pin in engine.pins)
