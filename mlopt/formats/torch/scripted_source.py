"""A TorchScript file, loaded: its code then runs in PyTorch's interpreter, as whoever runs mlopt.

Only a worker may do that, and only where the user agreed (``--allow-code``).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.model import evaluating, foreign_code, import_torch
from mlopt.formats.torch.scripted import Parameter

if TYPE_CHECKING:
    from mlopt.formats.torch.module import Flat


def load_scripted(file: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...]) -> Flat:
    """Return the module, ready to run: it takes the tensors of ``inputs`` in order and gives a tuple of tensors.

    They go by name where ``forward()`` has parameters of these names, by position where it has none of them. Raises
    ``ModelError``.
    """
    torch = import_torch()
    from mlopt.formats.torch.module import Flat

    with foreign_code("PyTorch cannot load this TorchScript file", str(file)), warnings.catch_warnings(action="ignore"):
        module = torch.jit.load(str(file), map_location="cpu")
    names = tuple(spec.name for spec in inputs)
    by_place = bound(_parameters(module, file), names, file)
    rebuild = partial(load_scripted, file, inputs, outputs)
    return Flat(evaluating(module), by_place, names[by_place:], outputs, rebuild)


def bound(parameters: Sequence[Parameter], names: Sequence[str], file: Path) -> int:
    """Return how many of the inputs go by position: all or none; raises ``ModelError`` where they do not fit."""
    takes = [each for each in parameters if each.takes_tensor]
    known, required = [each.name for each in takes], [each for each in parameters if each.required]
    by_name = set(names) <= set(known)
    given = set(names) if by_name else set(known[: len(names)])
    lacking = next((each for each in required if each.name not in given), None)
    if lacking is not None and not lacking.takes_tensor:
        what, fix = "forward() takes more than tensors", "script a module around it that gives the rest, and save that"
    elif lacking is not None or len(names) > len(known) or (not by_name and set(names) & set(known)):
        what, fix = "the inputs are not the parameters of forward()", "name them in model.inputs as forward() does"
    else:
        return 0 if by_name else len(names)
    expected = f"forward({', '.join(map(str, parameters))})"
    raise ModelError(what, where=f"{file}: model.inputs", got=", ".join(names), expected=expected, fix=fix)


def _parameters(module: Any, file: Path) -> tuple[Parameter, ...]:
    if not hasattr(module, "forward"):
        raise ModelError("the module of this TorchScript file has no forward()", where=str(file),
                         fix="save one that has; a method of another name is not exported")  # fmt: skip
    given = module.forward.schema.arguments[1:]
    return tuple(Parameter(each.name, str(each.type), not each.has_default_value()) for each in given)
