"""Metrics of torchmetrics by their name, as functions like a recipe's own: outputs and labels in, one number out.

Limits: classes that compute from two arrays and load nothing, and for which higher is better. Others look for models by
a name or a path, on the network too, and unpickle what they find: a recipe's own Python may do that, with consent.
Everything else is refused with its reason.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError, MissingPackage, RecipeError
from mlopt.core.packages import install_command

Array = NDArray[Any]

_FROM_ARRAYS = (
    "classification", "regression", "segmentation", "nominal", "clustering", "audio.sdr", "audio.snr", "image.psnr",
    "image.psnrb", "image.scc", "image.ssim", "image.uqi", "image.vif",
)  # fmt: skip
"""The parts of torchmetrics whose classes load nothing."""
_NAME = re.compile(r"torchmetrics(\.[a-z_]+)?\.[A-Z]\w*")
_MOST_VALUES = 1 << 27
"""What a metric may keep: some count pairs of classes."""


def is_torch_metric(text: str) -> bool:
    """Whether ``text`` names a class of torchmetrics, such as ``torchmetrics.F1Score``."""
    return _NAME.fullmatch(text) is not None


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
    if not _is_from_arrays(known[name]):
        raise RecipeError(
            f"{name} cannot be named: it is none that computes from the arrays of outputs and labels alone",
            where="metric.name", expected=f"a class of torchmetrics.{', .'.join(_FROM_ARRAYS)}",
            fix="call it in a function, ./file.py:function, which runs with --allow-code and without a network",
        )  # fmt: skip
    _check_size(args)
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


def _is_from_arrays(metric: type[Any]) -> bool:
    """Whether it, or what it is a second name of, stands in a part whose classes load nothing."""
    second_name = metric.__module__.endswith("._deprecated")
    module = (metric.__bases__[0] if second_name else metric).__module__.removeprefix("torchmetrics.")
    return any(module == part or module.startswith(f"{part}.") for part in _FROM_ARRAYS)


def _check_size(args: Mapping[str, Any]) -> None:
    """Raise ``RecipeError`` if the metric would keep more values than any of its use needs."""
    sizes = [value for value in args.values() if isinstance(value, int) and value > 1]
    classes = max((args[key] for key in ("num_classes", "num_labels") if isinstance(args.get(key), int)), default=1)
    wanted = max(classes, 1) * max((*sizes, 1))
    if wanted > _MOST_VALUES:
        raise RecipeError(
            "the metric would keep too many values", where="metric.args", got=f"{wanted:,}",
            expected=f"at most {_MOST_VALUES:,}", fix="use the metric accuracy or agreement, which count no pairs",
        )  # fmt: skip


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
