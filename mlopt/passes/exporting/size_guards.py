"""The sizes that a traced graph may be wrong for: those at which the model's Python would have gone another way.

``if x.shape[0] <= 20`` is traced at 3, and no list of sizes that is made in advance has a 21 in it. But the exporter
notes each comparison that it took one side of, and TorchScript's reads of sizes have their lines. So the graph is held
against the module where these say that it could break.
"""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.usercode import own_frame
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.model import import_torch

if TYPE_CHECKING:
    import torch

_MLOPT = Path(__file__).parents[2]
_SMALL, _LARGEST = 40, 4096
_MANY = 24
"""So many probes at most: each is a run of the module and of the graph."""
_OFTEN = 400
"""So many comparisons at most are looked into: a deep model has many, and most are alike."""


@dataclass(frozen=True)
class Probe:
    """Sizes to try, by dimension, and the line that says that they may matter."""

    sizes: Mapping[str, int]
    line: str | None


@dataclass
class ExportedSizes:
    """What ``torch.export`` did: its programs, and each comparison of sizes with its outcome and the model's line."""

    programs: list[torch.export.ExportedProgram] = field(default_factory=list)
    compared: dict[Any, tuple[bool, str | None]] = field(default_factory=dict)


@contextmanager
def comparisons() -> Iterator[ExportedSizes]:
    """Watch ``torch.export`` in this block: what the ONNX exporter hands on no longer has the comparisons."""
    torch = import_torch()
    from sympy.logic.boolalg import Boolean
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    seen = ExportedSizes()
    export, decide = torch.export.export, ShapeEnv.evaluate_expr

    def exporting(*args: Any, **kwargs: Any) -> Any:
        seen.programs.append(export(*args, **kwargs))
        return seen.programs[-1]

    def deciding(environment: Any, condition: Any, *args: Any, **kwargs: Any) -> Any:
        outcome = decide(environment, condition, *args, **kwargs)
        is_condition = isinstance(condition, Boolean) and condition.free_symbols
        if is_condition and condition not in seen.compared and len(seen.compared) < _OFTEN:
            seen.compared[condition] = bool(outcome), _line_of_the_model()
        return outcome

    torch.export.export, ShapeEnv.evaluate_expr = exporting, deciding
    try:
        yield seen
    finally:
        torch.export.export, ShapeEnv.evaluate_expr = export, decide


def compared(seen: ExportedSizes, specs: Sequence[TensorSpec], traced: Mapping[str, int]) -> list[Probe]:
    """Return sizes at which a comparison comes out otherwise than at the ``traced`` ones; the model's own first."""
    names = _names(seen.programs[-1], specs) if seen.programs else {}
    probes: dict[tuple[tuple[str, int], ...], Probe] = {}
    for condition, (outcome, line) in sorted(seen.compared.items(), key=lambda each: each[1][1] is None):
        if condition.free_symbols <= set(names):
            for sizes in _otherwise(condition.xreplace(names), traced, outcome=outcome):
                probes.setdefault(tuple(sorted(sizes.items())), Probe(sizes, line))
    return list(probes.values())[:_MANY]


def _line_of_the_model() -> str | None:
    """Return where the model's Python stands: as TorchDynamo reads it, or as it runs, called by mlopt."""
    from torch._guards import TracingContext

    frames = traceback.extract_stack()[:-2]
    last = max((index for index, frame in enumerate(frames) if Path(frame.filename).is_relative_to(_MLOPT)), default=0)
    return own_frame(TracingContext.extract_stack()) or own_frame(traceback.StackSummary.from_list(frames[last + 1 :]))


def _names(program: torch.export.ExportedProgram, specs: Sequence[TensorSpec]) -> dict[Any, Any]:
    """Return the declared name, as a symbol, of each symbol that the program has for a size."""
    import sympy

    names: dict[Any, Any] = {}
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    for given, spec in zip(program.graph_signature.user_inputs, specs, strict=True):
        for axis in spec.dynamic_axes:
            node = getattr(values[given].shape[axis], "node", None)
            if node is not None and node._expr.is_Symbol:
                names[node._expr] = sympy.Symbol(str(spec.shape[axis]), integer=True, positive=True)
    return names


def written(lines: Sequence[str], traced: Mapping[str, int]) -> list[Probe]:
    """Return the sizes around the numbers in ``lines`` (``file:line``), where sizes were read; and all sizes alike."""
    probes = [Probe(dict.fromkeys(traced, max(traced.values())), lines[0])] if lines and len(traced) > 1 else []
    for line in dict.fromkeys(lines):
        file, _, number = line.rpartition(":")
        for text in re.findall(r"\b\d+\b", linecache.getline(file, int(number))):
            around = [size for size in (int(text) - 1, int(text), int(text) + 1) if 1 < size <= _LARGEST]
            probes += [Probe({name: size}, line) for name in traced for size in around]
    return probes[:_MANY]


def _otherwise(condition: Any, traced: Mapping[str, int], *, outcome: bool) -> Iterator[dict[str, int]]:
    """Yield the nearest sizes, smaller and larger ones, at which the condition is not what it was."""
    names = sorted(str(symbol) for symbol in condition.free_symbols)
    together = [names] if len(names) > 1 else []
    for varied in [*([name] for name in names), *together]:
        start = traced[varied[0]]
        near = sorted(_candidates(condition, traced), key=partial(_distance, start))
        tried = (dict.fromkeys(varied, size) for size in near)
        other = [sizes for sizes in tried if _is(condition, {**traced, **sizes}, not outcome)]
        for larger in (True, False):
            yield from [sizes for sizes in other if (sizes[varied[0]] > start) == larger][:1]


def _distance(one: int, other: int) -> int:
    return abs(one - other)


def _candidates(condition: Any, traced: Mapping[str, int]) -> set[int]:
    """Return sizes worth a look: small ones, powers of two, and those around the condition's own numbers."""
    import sympy

    own = {abs(int(number)) for number in condition.atoms(sympy.Integer)}
    own |= {one // other for one in own for other in own if other} | {one * other for one in own for other in own}
    around = {size + step for size in own for step in (-1, 0, 1)}
    powers = {1 << power for power in range(_LARGEST.bit_length())}
    return {size for size in around | powers | set(range(2, _SMALL)) | set(traced.values()) if 1 < size <= _LARGEST}


def _is(condition: Any, sizes: Mapping[str, int], outcome: bool) -> bool:
    """Whether that is what it comes to; one that is not decided by these sizes is neither."""
    import sympy

    try:
        decided = condition.xreplace({s: sympy.Integer(sizes[str(s)]) for s in condition.free_symbols})
    except (ArithmeticError, AssertionError, ValueError, TypeError):  # what has no value at these sizes: x % 0
        return False
    return bool(decided == (sympy.true if outcome else sympy.false))
