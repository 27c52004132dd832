"""What a run reads and builds, and what it finds out before a training that may take long."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError
from mlopt.run import gathering
from mlopt.run.optimize import planned_for
from mlopt.run.request import Request

pytestmark = pytest.mark.process

RECIPE: dict[str, Any] = {
    "apiVersion": "mlopt/v1", "name": "net",
    "model": {
        "source": "./net.py:build", "inputs": {"x": {"dtype": "float32", "shape": ["batch", 4]}},
        "train": {"epochs": 2, "batch_size": 4},
    },
    "data": {"train": {"source": "./t.npz", "labels": "y"}, "evaluation": {"source": "./x.npz"}},
    "passes": ["export"],
}  # fmt: skip
NET = "import torch\n\ndef build():\n    return torch.nn.Linear(4, 3)\n"


def gathered(folder: Path, shared: int) -> tuple[gathering.inputs.Source, list[str]]:
    values = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    np.savez(folder / "x.npz", x=values[:20])
    np.savez(folder / "t.npz", x=values[20 - shared :], y=np.arange(20 + shared) % 3)
    (folder / "net.py").write_text(NET)
    (folder / "net.yaml").write_text(json.dumps(RECIPE))
    said: list[str] = []

    def notify(stage: str, _detail: str, _share: float | None) -> None:
        said.append(stage)

    with planned_for(Request(source=folder / "net.yaml", allow_code=True, output=folder / "out")) as planned:
        return gathering.source(replace(planned, started=replace(planned.started, notify=notify))), said


@pytest.mark.heavy
def test_the_source_is_trained_after_its_data_are_read(tmp_path: Path) -> None:
    (built, said) = gathered(tmp_path, 0)
    assert said[:3] == ["data", "data", "source"]
    assert not built.cached
    assert len(built.notes["trainings"][0]["epochs"]) == 2
    again, _ = gathered(tmp_path, 0)
    assert again.cached
    assert (again.model.digest, again.notes) == (built.model.digest, built.notes)


def test_samples_to_judge_it_on_are_found_among_those_to_train_on_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="training and evaluation share samples"):
        gathered(tmp_path, 5)
