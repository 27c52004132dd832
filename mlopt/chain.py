"""What can be known about a chain of passes before any work: pure, and everything at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlopt.errors import Problem
from mlopt.formats import format_for, format_of
from mlopt.hardware import Hardware
from mlopt.model import ONNX, TORCH, Kind
from mlopt.packages import install_command, version
from mlopt.passes.base import Pass
from mlopt.recipe.document import closest
from mlopt.recipe.schema import Recipe, is_code
from mlopt.runtimes import runtimes_of
from mlopt.runtimes import table as runtime_table
from mlopt.target import AUTO, Objective, Target

Passes = Mapping[str, Pass[Any]]


def check(recipe: Recipe, passes: Passes, hardware: Hardware) -> list[Problem]:
    """Return everything about the chain that cannot work on this machine, before any work is done."""
    problems: list[Problem] = []
    kind = source_kind(recipe, passes)
    if recipe.target.device == "cuda" and hardware.gpu is None:
        fix = "device: cpu, or a machine with a CUDA GPU; `mlopt doctor` shows what is there"
        problems.append(Problem("the target is a GPU, and this machine has none", "target.device", fix=fix))
    problems.extend(_runtimes(recipe.target))
    for number, step in enumerate(recipe.passes):
        pass_, where = passes[step.name], f"passes.{number}.{step.name}"
        problems.extend(_missing(pass_, where, recipe, hardware))
    return [*problems, *_foreign(recipe), *misfits(kind, recipe, passes)]


def misfits(kind: Kind, recipe: Recipe, passes: Passes) -> Iterator[Problem]:
    """Yield where the steps do not fit together, if they do not; what comes after that place cannot be judged."""
    source, giver = kind, "the source"
    spare: tuple[Kind, str, str] | None = None  # the kind there is if an optional step fails, and where that step is
    for number, step in enumerate(recipe.passes):
        pass_, where = passes[step.name], f"passes.{number}.{step.name}"
        if kind not in pass_.accepts:
            accepted = f"{' or '.join(map(_a, sorted(pass_.accepts)))} model"
            move = f", or put it before {giver}" if source in pass_.accepts else ""
            export = kind == TORCH and ONNX in pass_.accepts
            fix = "put `export` before it" if export else f"remove '{step.name}'{move}"
            yield Problem(f"'{step.name}' does not fit here", where, f"{_a(kind)} model, from {giver}", accepted, fix)
            return
        if spare is not None and spare[0] not in pass_.accepts:
            yield _needed(*spare, f"'{step.name}', which takes {_a(kind)} model")
            return
        if step.optional and pass_.produces != kind:
            spare = (kind, where, step.name)
        elif not step.optional:
            spare = None
        kind, giver = pass_.produces, f"'{step.name}'"
    if (unrun := _unrun(kind, giver, recipe.target)) is not None:
        yield unrun
    elif spare is not None and _unrun(spare[0], giver, recipe.target) is not None:
        yield _needed(*spare, f"the result, which is {_a(kind)} model")


def _unrun(kind: Kind, giver: str, target: Target) -> Problem | None:
    """Return what is wrong with a chain that ends in a kind which no runtime of the target runs."""
    named, able = target.runtimes, [each for each in runtimes_of(kind) if target.device in each.devices]
    fit = [each for each in able if (each.name in named if named else not each.missing)]
    if fit:
        return None
    every = runtime_table()
    kinds = {each for name in (named or every) if name in every for each in every[name].kinds}
    expected = " or ".join(f"{_a(each)} model" for each in sorted(kinds)) or None
    fix = f"target: {{runtime: {able[0].name}}}" if able else f"install what runs {_a(kind)} model"
    if not named and able:
        fix = able[0].install
    elif kind == TORCH and ONNX in kinds:
        fix = "add `export` to the passes"
    what = f"the passes end in a model that {' and '.join(named)} does not run" if named else (
        "the passes end in a model that no installed runtime runs"
    )  # fmt: skip
    return Problem(what, "passes", f"{_a(kind)} model, from {giver}", expected, fix)


def _runtimes(target: Target) -> Iterator[Problem]:
    """Yield what is wrong with the runtimes that the target names, and that the baseline, which is ONNX, cannot run."""
    every = runtime_table()
    for name in target.runtimes:
        if name not in every:
            known, brings = (*every, AUTO), "or install the package that brings it (entry points mlopt.runtimes)"
            fix = f"{near} {brings}" if (near := closest(name, known)) else brings.removeprefix("or ")
            yield Problem("there is no such runtime here", "target.runtime", name, ", ".join(known), fix)
        elif target.device not in every[name].devices:
            devices = " or ".join(sorted(every[name].devices))
            yield Problem(f"the runtime {name} does not run on this device", "target.device", target.device, devices)
    for name in dict.fromkeys((*target.runtimes, "onnxruntime")):
        if name in every and every[name].missing:
            gpu = name == "onnxruntime" and target.device == "cuda"
            fix = install_command("gpu") if gpu else every[name].install
            yield Problem(f"{' and '.join(every[name].missing)} is not installed", "target.runtime", fix=fix)


def _needed(left: Kind, where: str, name: str, reader: str) -> Problem:
    """Say that an optional step may not be left out, since of what would then be there nothing can be made."""
    return Problem(
        f"'{name}' cannot be optional: if it fails, {_a(left)} model is left", where, "optional: true",
        f"a required step before {reader}", f"leave `optional` out of '{name}'",
    )  # fmt: skip


def _foreign(recipe: Recipe) -> Iterator[Problem]:
    """Yield what does not go with a step that writes for a runtime which is not measured here."""
    written = None
    for number, step in enumerate(recipe.passes):
        where = f"passes.{number}.{step.name}"
        if step.config.foreign and step.optional and recipe.objective is not Objective.SIZE:
            what = (
                "an optional step stays for its speed in onnxruntime, which says nothing of the runtime it writes for"
            )
            yield Problem(what, where, "optional: true", fix="leave `optional` out, or set `objective: size`")
        if written is not None and step.name == "fuse":
            what = f"'fuse' writes operators that only onnxruntime knows, and '{written}' writes for another runtime"
            yield Problem(what, where, fix="remove 'fuse'")
        written = step.name if step.config.foreign else written


def advice(recipe: Recipe) -> list[str]:
    """Return what will work but costs speed."""
    names = [step.name for step in recipe.passes]
    if "fuse" in names and "quantize" in names[names.index("fuse") :]:
        return ["`fuse` stands before `quantize`: fused convolutions are passed over by the quantizer; fuse afterwards"]
    return []


def source_kind(recipe: Recipe, passes: Passes) -> Kind:
    """Tell the kind of the source from the recipe alone; Python may return either kind, and the steps tell which."""
    file = None if is_code(recipe.model.source) else format_for(Path(recipe.model.source))
    if file is not None:
        return file.name
    return TORCH if any(TORCH in passes[step.name].accepts for step in recipe.passes) else ONNX


def _missing(pass_: Pass[Any], where: str, recipe: Recipe, hardware: Hardware) -> Iterator[Problem]:
    needs = pass_.requires
    absent = [name for name in needs.packages if version(name) is None]
    if absent:
        fix = install_command(needs.extra) if needs.extra else f"pip install {' '.join(absent)}"
        yield Problem(f"'{pass_.name}' needs {', '.join(absent)}", where, "not installed", fix=fix)
    if needs.gpu and hardware.gpu is None:
        yield Problem(f"'{pass_.name}' needs a GPU, and this machine has none", where, fix="run on a machine with one")
    if needs.calibration and recipe.data.calibration is None:
        yield Problem(f"'{pass_.name}' needs calibration data", where, fix="add data.calibration to the recipe")


def _a(kind: Kind) -> str:
    return format_of(kind).label
