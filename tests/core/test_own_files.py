"""Whose a Python file is."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

import mlopt
from mlopt.core import own_files


@pytest.mark.parametrize("file", [np.__file__, json.__file__, mlopt.__file__, own_files.__file__, "built-in", "frozen"])
def test_python_packages_and_all_of_mlopt_are_installed(file: str) -> None:
    assert own_files.is_installed(Path(file))


def test_a_file_of_a_recipe_is_not_installed(tmp_path: Path) -> None:
    assert not own_files.is_installed(tmp_path / "net.py")
    assert not own_files.is_installed(Path(tempfile.gettempdir()) / "mlopt" / "net.py")
