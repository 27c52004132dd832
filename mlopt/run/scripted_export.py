"""A TorchScript file as the source of a recipe: loaded and exported once, in a worker, and an ONNX model from then on.

The export is held against the module on real samples and at several sizes (``mlopt.passes.exporting.traced_sizes``), so
what the run begins with answers as the file does, or there is an error that says where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlopt.core.errors import MissingPackage, MloptError, ModelError, Problem
from mlopt.core.hardware import detect
from mlopt.core.packages import install_command, version
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Dataset
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.scripted_source import load_scripted
from mlopt.formats.torch.source import Made
from mlopt.formats.torch.witness import Feed
from mlopt.passes.base import Context
from mlopt.passes.export import ExportConfig, export
from mlopt.passes.exporting.exporter_errors import HERE
from mlopt.passes.exporting.traced_sizes import check_samples
from mlopt.passes.exporting.tracing import task_of
from mlopt.run.scripted import PACKAGES

_OTHERWISE = (
    "declare the sizes that it was made for in place of free ones, in model.inputs (`mlopt recipe init` writes a "
    "recipe to edit), or export it in the Python that made it: torch.onnx.export(model, (EXAMPLE,), 'model.onnx')"
)
_OF_PYTHON = ("build()", "forward()", "exporter")
"""What advice speaks of that only helps those who have the Python of a model."""


def make_scripted(
    file: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...], out: Path, feeds: Sequence[Feed] = (),
    *, samples: Dataset | None = None,
) -> tuple[Made, Mapping[str, Any]]:  # fmt: skip
    """Export the module of a file into the empty directory ``out``, and return notes of it, too.

    ``samples`` are real ones, of which ``feeds`` are a few, one by one. Raises ``ModelError`` or ``MissingPackage``.
    """
    if lacking := [name for name in PACKAGES if version(name) is None]:
        raise MissingPackage("a TorchScript file needs PyTorch and its exporter", where=str(file),
                             got=f"no {', '.join(lacking)}", fix=install_command("torch"))  # fmt: skip
    module = load_scripted(file, inputs, outputs)
    context = Context(
        out=out, target=Target(threads=1), objective=Objective.LATENCY, hardware=detect(), samples=samples,
        inputs=inputs, outputs=outputs,
    )  # fmt: skip
    try:
        made = export(task_of(module, inputs, outputs, str(file), samples), ExportConfig(), context)
        _check_free(made.notes["sizes_checked"], inputs)
        check_samples(open_onnx(made.path), module, feeds if samples is not None else ())
    except MloptError as error:
        raise ModelError.of(_about(problem, file) for problem in error.problems) from error
    return Made(open_onnx(made.path), None), {"exported": dict(made.notes)}


def _check_free(checked: Mapping[str, Sequence[int]], inputs: tuple[TensorSpec, ...]) -> None:
    """Raise ``ModelError`` where the module takes one size alone of a dimension that is declared free."""
    for name in dict.fromkeys(str(spec.shape[axis]) for spec in inputs for axis in spec.dynamic_axes):
        if len(checked.get(name, ())) < 2:
            raise ModelError(
                "the module takes one size alone of a dimension that is free", where=f"model.inputs: {name!r}",
                got=f"{name} = {', '.join(map(str, checked.get(name, ())))}", expected="several sizes",
                fix=_OTHERWISE,
            )  # fmt: skip


def _about(problem: Problem, file: Path) -> Problem:
    """Return a problem of the exporter's as one of a file whose Python is not at hand."""
    where = problem.where if problem.where and problem.where != HERE else str(file)
    fix = problem.fix if problem.fix and not any(word in problem.fix for word in _OF_PYTHON) else _OTHERWISE
    return replace(problem, where=where, fix=fix)
