"""What is installed, and what a missing extra is called."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import mlopt
from mlopt.core import packages


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Distributions by name, in place of those of this machine."""
    found: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in found:
            raise metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(metadata, "version", version)
    packages.version.cache_clear()
    yield found
    packages.version.cache_clear()


def test_a_distribution_that_stands_in_for_another_is_named(installed: dict[str, str]) -> None:
    installed["onnxruntime-gpu"] = "1.31.1"
    assert packages.version("onnxruntime") == "1.31.1 (onnxruntime-gpu)"


def test_only_what_is_installed_has_a_version(installed: dict[str, str]) -> None:
    installed |= {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}
    assert packages.version("torch") is None
    assert packages.versions(("torch", "onnxruntime")) == {"onnxruntime": "1.32.0"}


@pytest.mark.parametrize("file", [np.__file__, json.__file__, mlopt.__file__, packages.__file__, "built-in", "frozen"])
def test_python_packages_and_all_of_mlopt_are_installed(file: str) -> None:
    assert packages.is_installed(Path(file))


def test_a_file_of_a_recipe_is_not_installed(tmp_path: Path) -> None:
    assert not packages.is_installed(tmp_path / "net.py")
    assert not packages.is_installed(Path(tempfile.gettempdir()) / "mlopt" / "net.py")
