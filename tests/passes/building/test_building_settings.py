"""What was set, for the artifact."""

from __future__ import annotations

from mlopt.passes.building.settings import EngineSettings


def test_only_what_was_set_is_stored() -> None:
    assert EngineSettings().as_dict() == {}
    assert EngineSettings(optimization_level=0, sparsity=True).as_dict() == {"optimization_level": 0, "sparsity": True}
