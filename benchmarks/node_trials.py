"""One of ONNX's own tests through the passes, in a worker process: what is tried may crash.

What onnxruntime answers to the source with its optimizations off is right; each result must answer so with them off and
on, whatever its outputs are: tensors, sequences, maps, or nothing.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from mlopt.core.errors import MloptError
from mlopt.core.hardware import detect
from mlopt.core.target import Objective, Target
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Context, Refusal
from mlopt.passes.table import table
from mlopt.run.contract import _interface
from mlopt.runtimes.onnxruntime import cause, quiet_session, runtime_errors

DATA = Path(onnx.__file__).parent / "backend/test/data"
PASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "simplify": ("simplify", {}),
    "fuse": ("fuse", {}),
    "fuse_basic": ("fuse", {"level": "basic"}),
    "fuse_all": ("fuse", {"level": "all", "this_machine": True}),
}
Feeds = dict[str, Any]
Outcome = tuple[str, str]
"""``right``, ``refused``, ``wrong``, ``crash`` or ``not run``, and why."""


@dataclass(frozen=True)
class Case:
    """A model, and the values of its inputs in order, once or several times."""

    model: onnx.ModelProto
    inputs: Sequence[Sequence[Any]]


@cache
def cases() -> dict[str, Case]:
    """Return all cases by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {
            test.name: Case(test.model, [inputs for inputs, _ in test.data_sets]) for test in collect_testcases(None)
        }
    return made | {
        f"{folder.parent.name}/{folder.name}": stored(folder) for folder in sorted(DATA.glob("[ps]*/test_*"))
    }


def stored(folder: Path) -> Case:
    """Read a case from files."""
    model = onnx.load(folder / "model.onnx")
    sets = []
    for data in sorted(folder.glob("test_data_set_*")):
        files = sorted(data.glob("input_*.pb"), key=lambda file: int(file.stem.removeprefix("input_")))
        kinds = [value.type.WhichOneof("value") for value in model.graph.input]
        sets.append([_read(file, kind) for file, kind in zip(files, kinds, strict=False)])
    return Case(model, sets)


def _read(file: Path, kind: str) -> Any:
    content = file.read_bytes()
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
    return numpy_helper.to_array(onnx.TensorProto.FromString(content))


class Trials:
    """What the worker holds."""

    def run(self, model: bytes, inputs: Sequence[Sequence[Any]]) -> dict[str, Outcome]:
        """Return the outcome and the reason of each pass, or of the source alone if it is no witness."""
        logging.disable()
        with tempfile.TemporaryDirectory(prefix="mlopt-node-") as folder:
            return attempt(Case(onnx.ModelProto.FromString(model), inputs), Path(folder))


def attempt(case: Case, folder: Path) -> dict[str, Outcome]:
    """Put one case through all passes."""
    path = folder / "model.onnx"
    onnx.save(case.model, path)
    try:
        model = open_onnx(path)
        names = [value.name for value in case.model.graph.input]
        feeds = [dict(zip(names, map(_fed, values), strict=False)) for values in case.inputs]
        expected, again = (answers(path, feeds, "none") for _ in range(2))
    except runtime_errors() as error:
        return {"source": ("not run", normal(cause(error)))}
    except (MloptError, TypeError, NotImplementedError) as error:
        return {"source": ("not run", normal(str(error)))}
    if any(difference(*pair) for pair in zip(expected, again, strict=True)):
        return {"source": ("not run", "it answers anew each time")}
    return {chain: transform(chain, model, feeds, expected, folder / chain) for chain in PASSES}


def _fed(value: Any) -> Any:
    """Return a value as onnxruntime takes it: some tests give bare numbers or protobufs."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def transform(
    chain: str, model: Model, feeds: Sequence[Feeds], expected: Sequence[list[Any]], out: Path
) -> tuple[str, str]:
    """Run a pass, and what it gives."""
    name, config = PASSES[chain]
    out.mkdir()
    pass_ = table()[name]
    context = Context(out, Target(threads=1), Objective.LATENCY, detect())
    try:
        result = pass_.run(model, pass_.config(**config), context)
        if isinstance(result, Refusal):
            return "refused", normal(result.reason)
        after = open_onnx(result.path)
    except MloptError as error:
        problem = error.problems[0]
        return "refused", normal(f"{problem.what}: {problem.got}")
    broken = [*_interface(model.inputs, after.inputs, "input"), *_interface(model.outputs, after.outputs, "output")]
    if broken:
        return "wrong", normal(broken[0])
    for level in ("none", "all"):
        try:
            got = answers(result.path, feeds, level)
        except runtime_errors() as error:
            return "wrong", f"optimizations {level}: {normal(cause(error))}"
        for pair in zip(expected, got, strict=True):
            if (found := difference(*pair)) is not None:
                return "wrong", f"optimizations {level}: {found}"
    return "right", ""


def answers(path: Path, feeds: Sequence[Feeds], level: str) -> list[list[Any]]:
    """Return the outputs for every set of inputs."""
    session = quiet_session(path, level)
    wanted = {value.name for value in session.get_inputs()}
    return [session.run(None, {name: value for name, value in each.items() if name in wanted}) for each in feeds]


def difference(expected: Any, got: Any) -> str | None:
    """Return how two values differ beyond rounding: tensors, sequences, maps, or nothing."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        expected, got = ([list(each), list(each.values())] for each in (expected, got))
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        if len(expected) != len(got):
            return "another length"
        return next((found for pair in zip(expected, got, strict=True) if (found := difference(*pair))), None)
    if expected is None or got is None:
        return None if expected is got else "only one of the two is there"
    a, b = np.asarray(expected), np.asarray(got)
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{b.dtype}{list(b.shape)} for {a.dtype}{list(a.shape)}"
    if a.dtype.kind in "fc":
        rounding = max(1e-4, 8 * float(np.finfo(a.dtype).eps))
        largest = (
            float(np.abs(a, where=np.isfinite(a), out=np.zeros(a.shape)).max(initial=0.0))
            if a.dtype.kind == "f"
            else 1.0
        )
        return None if np.allclose(a, b, rtol=rounding, atol=1e-5 * largest + 1e-7, equal_nan=True) else "another value"
    return None if np.array_equal(a, b) else "another value"


def normal(text: str) -> str:
    """Return a reason in one line."""
    return " ".join(text.split())[:200]
