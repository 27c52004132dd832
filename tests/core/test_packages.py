"""What is installed, and what a missing extra is called."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

import pytest

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
