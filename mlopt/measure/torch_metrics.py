"""Metrics of torchmetrics by their name, as functions like a recipe's own: outputs and labels in, one number out.

Limits: classes that are made without other metrics or models, take predictions and targets, and for which higher is
better. Everything else is refused with its reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.errors import DataError, MissingPackage, RecipeError
from mlopt.packages import install_command

Array = NDArray[Any]


class TorchMetric:
    """A metric of torchmetrics, called like a recipe's own function (see ``accuracy.Metric``).

    ``name`` is such as ``torchmetrics.F1Score``, ``args`` are its arguments, ``output`` is the output that is judged
    (the first one if None). Raises ``MissingPackage`` or ``RecipeError`` at once if this can never work.
    """

    def __init__(self, name: str, args: Mapping[str, Any], output: str | None = None) -> None:
        self.__name__ = name
        self._metric = _made(name, args)
        self._output = output

    def __call__(self, outputs: Mapping[str, Array], labels: Array | None, _reference: object) -> float:
        """Return the metric of these samples; raises ``DataError`` if outputs or labels do not fit it."""
        import torch

        if labels is None:
            raise DataError(
                f"the metric '{self.__name__}' needs labels, and the evaluation data has none", where="data.evaluation",
                fix="give labels, or use the metric 'agreement', which compares with the source model",
            )  # fmt: skip
        predicted, wanted = _numbers(self._chosen(outputs), "the output"), _numbers(labels, "the labels")
        try:
            with warnings.catch_warnings():  # a resample without some class is no news
                warnings.simplefilter("ignore")
                self._metric.reset()
                self._metric.update(torch.from_numpy(predicted), torch.from_numpy(wanted))
                found = self._metric.compute()
        except (ValueError, RuntimeError, TypeError, IndexError) as error:  # what torchmetrics finds wrong with them
            raise DataError(
                f"the metric '{self.__name__}' does not take these outputs and labels", where="metric",
                got=f"output {_described(predicted)}, labels {_described(wanted)}: {_one_line(error)}",
                fix="correct metric.args, or name the output with metric.output",
            ) from error  # fmt: skip
        if not isinstance(found, torch.Tensor) or found.numel() != 1:
            got = f"{found.numel()} numbers" if isinstance(found, torch.Tensor) else type(found).__name__
            fix = "choose an average in metric.args, such as average: macro"
            raise DataError(f"the metric '{self.__name__}' gives no single number", where="metric", got=got, fix=fix)
        return float(found)

    def _chosen(self, outputs: Mapping[str, Array]) -> Array:
        name = self._output or next(iter(outputs))
        if name not in outputs:
            raise DataError(f"there is no output '{name}'", where="metric.output", expected=", ".join(outputs))
        if isinstance(outputs[name], list):
            raise DataError(
                "the output's size differs from sample to sample", where=f"output '{name}'",
                expected="one array [samples, ...]",
                fix="name another one (metric.output), or write the metric as a function: ./file.py:function",
            )  # fmt: skip
        return outputs[name]


def _made(name: str, args: Mapping[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():  # what the libraries that it imports have to say to each other
            warnings.simplefilter("ignore")
            import torchmetrics
    except ImportError as error:
        fix = install_command("metrics")
        raise MissingPackage(f"the metric '{name}' needs torchmetrics", where="metric.name", fix=fix) from error
    known = _classes(torchmetrics)
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise RecipeError(
            "torchmetrics has no such metric", where="metric.name", got=name,
            fix=f"did you mean '{near[0]}'?" if near else None,
        )  # fmt: skip
    try:
        made = known[name](**args)
    except (TypeError, ValueError, ImportError) as error:  # ImportError: it needs another package
        got, fix = f"{dict(args)}: {_one_line(error)}", "see the documentation of torchmetrics for its arguments"
        raise RecipeError(f"{name} cannot be made with these args", where="metric.args", got=got, fix=fix) from error
    if not made.higher_is_better:
        why = "lower is better for it" if made.higher_is_better is False else "it does not say that higher is better"
        raise RecipeError(
            f"{name} cannot be the metric: {why}, and a drop is a loss only where higher is better",
            where="metric.name", fix="choose another, or return its negative from ./file.py:function",
        )  # fmt: skip
    return made


def _classes(package: ModuleType) -> dict[str, type[Any]]:
    """Return the metrics that torchmetrics and its parts export, by their full names."""
    parts = [part for part in vars(package).values() if isinstance(part, ModuleType)]
    modules = {part.__name__: part for part in (package, *parts) if part.__name__.split(".")[0] == "torchmetrics"}
    return {
        f"{place}.{name}": found
        for place, module in modules.items()
        for name in getattr(module, "__all__", ())
        if isinstance(found := getattr(module, name), type) and issubclass(found, package.Metric)
    }


def _numbers(array: Array, what: str) -> Array:
    """Return a copy that PyTorch takes, with axes of one left out behind the samples, as all metrics of mlopt do."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} are no numbers that torchmetrics takes", where="metric", got=str(array.dtype))
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(f"NaN stands in {what}", where="metric", expected="numbers")
    return np.array(array.squeeze(tuple(axis for axis in range(1, array.ndim) if array.shape[axis] == 1)))


def _described(array: Array) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
