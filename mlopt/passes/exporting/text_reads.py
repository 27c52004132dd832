"""Text that forward() makes of a tensor: ``'nan' in str(x)``, ``f'{x.max():.1f}'``.

``torch.export`` writes the text of a tensor without values, and TorchScript that of the values it is traced with: the
graph then holds for the branch that this led to, and nothing tells. Text that is only shown does no harm.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MAKE_TEXT = {"__repr__", "__str__", "__format__"}
_SHOW = {"print", "pprint", "warn", "warning", "debug", "info", "error", "exception", "critical", "log", "write"}
_TEXT = {"str", "repr", "format"}
_SHOWING = {"logging", "warnings.py", "pprint.py"}
_TORCH, _PYTHON = Path(torch.__file__).parent, Path(ast.__file__).parent
_HANDED_ON = {_TORCH / "_tensor.py", _TORCH / "overrides.py"}


@contextmanager
def texts(module: torch.nn.Module) -> Iterator[list[str]]:
    """Give the list of lines that make text of a tensor in this block, but for constants and what is only shown."""
    lines: list[str] = []
    attributes = (value for part in module.modules() for value in vars(part).values())
    constant = {id(tensor) for tensor in (*module.parameters(), *module.buffers(), *attributes)}

    class Texts(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed by mypy here
        def __torch_function__(
            self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:  # fmt: skip
            if getattr(func, "__name__", "") in _MAKE_TEXT and args and id(args[0]) not in constant:
                line = _line(sys._getframe(1))
                lines.extend([line] if line else [])
            return func(*args, **(kwargs or {}))

    with Texts():
        yield lines


def _line(frame: FrameType | None) -> str | None:
    """Return the line of the model's code that asked for the text; None if torch did, or if it is only shown."""
    while frame is not None and (frame.f_code.co_filename == __file__ or Path(frame.f_code.co_filename) in _HANDED_ON):
        frame = frame.f_back
    if frame is None or Path(frame.f_code.co_filename).is_relative_to(_TORCH):
        return None
    while frame is not None and _is_python(Path(frame.f_code.co_filename)):
        if _SHOWING & set(Path(frame.f_code.co_filename).parts):
            return None
        frame = frame.f_back
    return None if frame is None or _is_shown(frame) else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_python(file: Path) -> bool:
    """Whether it is a file of Python's own, or code that is in no file, such as the methods of a dataclass."""
    return not file.is_file() or (file.is_relative_to(_PYTHON) and "site-packages" not in file.parts)


def _is_shown(frame: FrameType) -> bool:
    """Whether what the frame is at is an argument of print() or of a logger, or is thrown away."""
    start, end, left, right = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    if start is None or end is None or left is None or right is None:
        return False
    for node in ast.walk(_tree(frame.f_code.co_filename)):
        if isinstance(node, ast.Call | ast.Expr):
            node_end = (node.end_lineno or 0, node.end_col_offset or 0)
            if (node.lineno, node.col_offset) <= (start, left) and (end, right) <= node_end and _shows(node):
                return True
    return False


def _shows(node: ast.Call | ast.Expr) -> bool:
    if isinstance(node, ast.Call):
        return _called(node) in _SHOW
    value = node.value
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Call) and _called(value) in _TEXT)


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "id", getattr(node.func, "attr", "")))


@lru_cache(maxsize=8)
def _tree(file: str) -> ast.AST:
    try:
        return ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])
