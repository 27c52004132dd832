"""What stages hand on: the data by its roles, and nothing that a later stage could change."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from campaign_parts import figures, model

from mlopt.data.dataset import Samples, store
from mlopt.run.stages import Prepared


def prepared(folder: Path, *roles: str) -> Prepared:
    evaluator = figures(folder)
    fitted = {role: store(Samples({"x": np.ones((2, 4), np.float32)}), folder / role, role) for role in roles}
    nothing = cast(Any, None)
    return Prepared(
        nothing, model(folder, "source"), evaluator.dataset, fitted, evaluator, quality=nothing, job=nothing, notes=()
    )


@pytest.mark.parametrize("roles", [(), ("calibration",), ("calibration", "train")])
def test_every_data_set_is_found_by_its_role(tmp_path: Path, roles: tuple[str, ...]) -> None:
    found = prepared(tmp_path, *roles)
    assert list(found.data) == ["evaluation", *roles]
    assert found.data["evaluation"] == found.evaluation
    assert all(found.data[role] == found.fitted[role] for role in roles)


def test_a_later_stage_changes_nothing(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    with pytest.raises(FrozenInstanceError):
        found.notes = ("changed",)  # type: ignore[misc]
    assert "calibration" not in found.data
