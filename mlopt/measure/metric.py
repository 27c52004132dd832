"""From a metric's name in a recipe to what scores by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopt.core.errors import MissingPackage, Problem, RecipeError
from mlopt.core.usercode import parse_reference
from mlopt.measure.accuracy import Metric, Named
from mlopt.measure.torch_metrics import TorchMetric, is_torch_metric


def load_metric(name: str, base: Path, args: Mapping[str, Any] | None = None, output: Named = None) -> str | Metric:
    """Return the name of a built-in metric, or a function: the recipe's own, loaded, or one of torchmetrics.

    Raises ``ModelError`` if the recipe's file or function is missing, and what ``TorchMetric`` raises.
    """
    if is_torch_metric(name):
        return TorchMetric(name, args or {}, output[0] if isinstance(output, tuple) else output)
    code = parse_reference(name, base)
    return name if code is None else code.load()


def metric_problems(name: str, args: Mapping[str, Any] | None = None, output: Named = None) -> list[Problem]:
    """Return why a metric of torchmetrics cannot work, found before any work by making it once."""
    if not is_torch_metric(name):
        return []
    try:
        load_metric(name, Path(), args, output)
    except (MissingPackage, RecipeError) as error:
        return list(error.problems)
    return []
