"""The recipe's metric: the name of a built-in one, or the user's function, told apart and loaded."""

from __future__ import annotations

from pathlib import Path

from mlopt.measure.accuracy import Metric
from mlopt.usercode import parse_reference


def load_metric(name: str, base: Path) -> str | Metric:
    """Return the name of a built-in metric, or the function that ``./file.py:function`` names."""
    code = parse_reference(name, base)
    return name if code is None else code.load()
