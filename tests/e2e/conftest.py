"""Shared by the end-to-end tests: small real models, and recipes that measure only briefly."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_graphs import write_classifier
from small_models import NETWORK, RECIPE

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is tested from end to end runs its passes and measures in processes of their own."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("process")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a small PyTorch network, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "net.yaml").write_text(RECIPE)
    return tmp_path / "net.yaml"


@pytest.fixture
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A bare ONNX classifier with a free batch axis, and samples for it; in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_classifier(tmp_path)
