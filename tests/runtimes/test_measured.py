"""The figures of other runtimes that come with mlopt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import mlopt
from mlopt.runtimes import measured


def written(folder: Path, content: Any) -> Path:
    path = folder / "measured.json"
    path.write_text(json.dumps(content))
    return path


def test_what_is_shipped_can_be_read_and_lies_in_the_package() -> None:
    assert measured.FILE.is_relative_to(Path(mlopt.__file__).parent)
    assert set(measured.gains()) <= {"avx2", "vnni", "bf16"}


def test_figures_are_read_by_kind_of_cpu_and_runtime(tmp_path: Path) -> None:
    found = measured.gains(written(tmp_path, {"bf16": {"openvino": {"geometric_mean": 1.5, "cases": 9}}, "avx2": {}}))
    assert found == {"bf16": {"openvino": measured.RuntimeGain(geometric_mean=1.5, cases=9)}, "avx2": {}}


@pytest.mark.parametrize(
    "content",
    [
        [], {"amx": {}}, {"bf16": {"openvino": 2.1}}, {"bf16": {"openvino": {"geometric_mean": 2.1}}},
        {"bf16": {"openvino": {"geometric_mean": 0.0, "cases": 1}}},
        {"bf16": {"openvino": {"geometric_mean": "2.1", "cases": 1}}},
        {"bf16": {"openvino": {"geometric_mean": 2.1, "cases": 0}}},
        {"bf16": {"openvino": {"geometric_mean": 2.1, "cases": 1, "best": 3}}},
    ],
)  # fmt: skip
def test_what_is_no_figure_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ValidationError):
        measured.gains(written(tmp_path, content))
