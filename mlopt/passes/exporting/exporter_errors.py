"""What PyTorch's exporters say when they fail, in one line each: the cause, the user's line, and what can be done.

They wrap the cause in pages of advice on how to debug PyTorch, and leave out where in the model it was.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import Problem
from mlopt.core.usercode import own_line
from mlopt.formats.torch.advice import GRADIENTS, known_fix
from mlopt.formats.torch.model import import_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from mlopt.formats.model import TensorSpec

HERE = "pass 'export'"
FIX_BRANCH = "use torch.where or torch.cond, or return torch.jit.script(model) from build()"
FIX_PACKED = (
    "give pad_packed_sequence() the argument total_length=x.shape[1] (x.shape[0] without batch_first), and "
    "pack_padded_sequence() the tensor of lengths as it is"
)
FIX_SIZES = "do not branch on sizes in forward(), or declare a number instead of '{}'"
_FIX_OPERATOR = "compute it from other operators in forward(), or leave it out of the model and do it after the model"
_FIX_COMPLEX = "compute with real numbers: torch.view_as_real() directly after torch.stft or torch.fft"
_FIX_SCRIPTED = "return the module itself from build(), not a scripted one"
_FIX_DISTANCE = (
    "torch.cdist(..., compute_mode='donot_use_mm_for_euclid_dist'): from some sizes on it is a matrix product "
    "otherwise, whose rounding of distances near 0 no other runtime repeats"
)
_FIX_ANY = "change what the model does there; the log has all that the exporter says"
_OPERATOR = re.compile(r"(?:aten|prims|torchvision|built-in function|export of operator)[.:\s]*(\w+)")
_GRADIENTS = {"grad", "backward"}
_FAMILIES = {"linalg", "special", "fft", "forward", "ex", ""}
"""Parts of operators' names that say nothing of which one it is."""


def cause(error: BaseException) -> str:
    """Return the first line of the innermost exception, and the second one where the first only announces it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = f"{lines[0]} {lines[1].lstrip('- ')}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    if isinstance(error, KeyError) or " " not in said:  # no sentence
        said = f"{type(error).__name__}: {said}"
    return said.partition("  [Caused by")[0][:300]


def user_line(error: BaseException) -> str:
    """Return ``file:line`` of the user's code as the exporter's message or the traceback has it."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in', str(error))
    own = [f"{file}:{line}" for file, line in frames if "site-packages" not in file and Path(file).is_file()]
    return own[-1] if own else own_line(_innermost(error)) or HERE


def explain(
    exporter: str, error: BaseException, module: torch.nn.Module, specs: Sequence[TensorSpec], examples: Sequence[Any]
) -> Problem:
    """Say why this exporter failed, where in the model, and what can be done about it."""
    said, where = cause(error), user_line(error)
    operator = _OPERATOR.search(said)
    static = re.search(r"inputs\['tensors'\]\[(\d+)\]\.shape\[(\d+)\]", said)
    fix = known_fix(said) or _FIX_ANY
    derived = _line_of(_GRADIENTS.__contains__, module, examples)
    if derived:
        where, fix = derived, GRADIENTS
    elif "torch.cdist" in said and (distance := rounding_apart(module, examples)):
        where, fix = distance
    elif "data-dependent" in said:
        fix = FIX_BRANCH
    elif static:
        spec, axis = specs[int(static[1])], int(static[2])
        said = said.replace(static[0], f"'{spec.shape[axis]}' of input '{spec.name}'")
        fix = FIX_SIZES.format(spec.shape[axis])
    elif "complex" in said.lower():
        fix = _FIX_COMPLEX
    elif "prim::" in said:
        fix = _FIX_SCRIPTED
    elif operator:
        fix = _FIX_OPERATOR
    if where == HERE and operator:
        words = _words(operator[1])
        where = _line_of(lambda name: not words.isdisjoint(_words(name)), module, examples) or HERE
    return Problem(f"PyTorch cannot export the model: the {exporter} exporter failed", where, got=said, fix=fix)


def rounding_apart(module: torch.nn.Module, examples: Sequence[Any]) -> tuple[str, str] | None:
    """Return the line and the fix if the module takes distances by a matrix product, which rounds apart near 0."""
    line = _line_of("cdist".__eq__, module, examples)
    if line is None or "donot_use_mm" in linecache.getline(line.rpartition(":")[0], int(line.rpartition(":")[2])):
        return None
    return line, _FIX_DISTANCE


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _line_of(is_meant: Callable[[str], bool], module: torch.nn.Module, examples: Sequence[Any]) -> str | None:
    """Run the module and return the line of the user's code, or of a package's, that calls an operator that is meant.

    It may have another name there: ``linalg.inv`` becomes ``linalg_inv_ex``, and ``linalg.svdvals`` ``_linalg_svd``.
    """
    torch = import_torch()
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    library, lines = Path(torch.__file__).parent, list[str]()

    def note(name: str) -> None:
        if is_meant(name):
            frame = sys._getframe(2)
            while frame.f_back is not None and within(frame.f_code.co_filename):
                frame = frame.f_back
            lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")

    def within(file: str) -> bool:
        return file == __file__ or Path(file).is_relative_to(library)

    class Calls(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed by mypy here
        def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            note(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    class Operators(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            note(func._schema.name.removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    with contextlib.suppress(Exception), torch.no_grad(), Calls(), Operators():  # what it raises is not asked here
        module(*(example.clone() for example in examples))
    return lines[0] if lines else None


def _words(operator: str) -> set[str]:
    return set(operator.split("_")) - _FAMILIES
