"""What can be known about a chain of passes before any work: pure, and everything at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlopt.core.errors import Problem
from mlopt.core.hardware import Hardware
from mlopt.core.packages import install_command, version
from mlopt.core.target import AUTO, Objective, Target
from mlopt.formats.model import ONNX, TORCH, Kind
from mlopt.formats.table import format_for, format_of
from mlopt.formats.torch.files import SCRIPTED
from mlopt.formats.torch.pretrained import PREFIX
from mlopt.passes.base import Pass
from mlopt.recipe.document import closest
from mlopt.recipe.schema import Recipe, Step, is_code
from mlopt.results.roles import COMPILED
from mlopt.runtimes.absent import absent
from mlopt.runtimes.table import runtimes_of
from mlopt.runtimes.table import table as runtime_table
from mlopt.runtimes.torch_compile import missing_compiler

Passes = Mapping[str, Pass[Any]]


def check(recipe: Recipe, passes: Passes, hardware: Hardware) -> list[Problem]:
    """Return everything about the chain that cannot work on this machine, before any work is done."""
    problems: list[Problem] = []
    kind = source_kind(recipe, passes)
    if recipe.target.device == "cuda" and hardware.gpu is None:
        fix = "device: cpu, or a machine with a CUDA GPU; `mlopt doctor` shows what is there"
        problems.append(Problem("the target is a GPU, and this machine has none", "target.device", fix=fix))
    lacking = list(_runtimes(recipe.target))
    problems.extend(lacking)
    problems.extend(_references(recipe))
    for number, step in enumerate(recipe.passes):
        pass_, where = passes[step.name], f"passes.{number}.{step.name}"
        if not _needs_python(pass_, kind):  # else there is one thing to say, which comes before what it needs
            problems.extend(_missing(pass_, step, where, recipe, hardware))
    found = anywhere(recipe, passes)
    return [*problems, *(each for each in found if not lacking or each.where != "passes")]  # what runs it is missing


def anywhere(recipe: Recipe, passes: Passes) -> list[Problem]:
    """Return what about the chain can work on no machine, whatever is installed there."""
    kind = source_kind(recipe, passes)
    own = (*_foreign(recipe), *_misread(recipe), *_unread(kind, recipe, passes))
    return [*own, *misfits(kind, recipe, passes)]


def misfits(kind: Kind, recipe: Recipe, passes: Passes) -> Iterator[Problem]:
    """Yield where the steps do not fit together, if they do not; what comes after that place cannot be judged."""
    start, giver = kind, "the source"
    left_by: dict[Kind, str] = {}  # the step after which there is no model of that kind any more
    spares: list[tuple[Kind, str, str]] = []  # what there is if an optional step is left out, and where that step is
    for number, step in enumerate(recipe.passes):
        pass_, where = passes[step.name], f"passes.{number}.{step.name}"
        if kind not in pass_.accepts and pass_.produces == kind and any(left in pass_.accepts for left, *_ in spares):
            spares = spares if step.optional else [each for each in spares if each[0] not in pass_.accepts]
            continue  # it is there for the way without an optional step, and makes what there is with it
        if kind not in pass_.accepts:
            if kind == start and _needs_python(pass_, kind):
                yield _needs_source(pass_, number, recipe)
            else:
                yield _unfit(pass_, where, kind, giver, next((left_by[k] for k in left_by if k in pass_.accepts), None))
            return
        lost = next((each for each in spares if each[0] not in pass_.accepts), None)
        if lost is not None:
            yield _needed(*lost, f"'{step.name}', which takes {a_kind(kind)} model")
            return
        if step.optional and pass_.produces != kind:
            spares.append((kind, where, step.name))
        elif not step.optional:
            spares = []
        left_by |= {} if pass_.produces == kind else {kind: f"'{step.name}'"}
        kind, giver = pass_.produces, f"'{step.name}'"
    if (problem := unrun(kind, giver, recipe.target)) is not None:
        yield problem
        return
    left = next((each for each in spares if unrun(each[0], giver, recipe.target) is not None), None)
    if left is not None:
        yield _needed(*left, f"the result, which is {a_kind(kind)} model")


def _needs_python(pass_: Pass[Any], kind: Kind) -> bool:
    """Whether a pass has work to do on such a model that it can do in PyTorch alone; `export` has none on a file."""
    return kind != TORCH and pass_.accepts == {TORCH} and (pass_.lossy or pass_.produces == TORCH)


def _needs_source(pass_: Pass[Any], number: int, recipe: Recipe) -> Problem:
    """Say that a step would need the PyTorch model of which the source is a file."""
    step, source = recipe.passes[number], recipe.model.source
    exported = any(later.name == "export" for later in recipe.passes[number:])
    instead = step.config.without_python(source) or "model: {source: ./file.py:build}, Python that builds the model"
    export = f", and put `export` after '{pass_.name}'" if pass_.produces == TORCH and not exported else ""
    file = format_for(Path(source))
    return Problem(
        f"'{pass_.name}' changes PyTorch models, and the source is a file of another kind",
        f"passes.{number}.{pass_.name}", source if file is None else f"{source}, {file.label} model",
        f"{a_kind(TORCH)} model", f"{instead}{export}; or remove '{pass_.name}'",
    )  # fmt: skip


def _unfit(pass_: Pass[Any], where: str, kind: Kind, giver: str, left_by: str | None) -> Problem:
    """Say that a step takes no model of the kind that it gets; before ``left_by`` there is one that it takes."""
    accepted = f"{' or '.join(map(a_kind, sorted(pass_.accepts)))} model"
    move = f", or put it before {left_by}" if left_by is not None else ""
    export = kind == TORCH and ONNX in pass_.accepts
    fix = "put `export` before it" if export else f"remove '{pass_.name}'{move}"
    got = f"{a_kind(kind)} model, from {giver}"
    return Problem(f"'{pass_.name}' does not fit here", where, got, accepted, fix)


def unrun(kind: Kind, giver: str, target: Target) -> Problem | None:
    """Return what is wrong with a chain that ends in a kind which no runtime of the target runs."""
    named = target.runtimes
    able = [each for each in runtimes_of(kind, named) if target.device in each.devices]
    fit = [each for each in able if (each.name in named if named else not each.missing)]
    every = runtime_table()
    if fit or not set(named) <= set(every):  # what nobody knows is told by itself
        return None
    kinds = {each for name in (named or every) if name in every for each in every[name].kinds}
    expected = " or ".join(f"{a_kind(each)} model" for each in sorted(kinds)) or None
    fix = f"target: {{runtime: {able[0].name}}}" if able else f"install what runs {a_kind(kind)} model"
    if not named and able:
        fix = able[0].install
    elif kind == TORCH and ONNX in kinds:
        fix = "add `export` to the passes"
    what = f"the passes end in a model that {' and '.join(named)} does not run" if named else (
        "the passes end in a model that no installed runtime runs"
    )  # fmt: skip
    return Problem(what, "passes", f"{a_kind(kind)} model, from {giver}", expected, fix)


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


def _references(recipe: Recipe) -> Iterator[Problem]:
    """Yield why a reference that the recipe asks for cannot be measured on this machine."""
    if COMPILED not in recipe.references:
        return
    where = f"references.{recipe.references.index(COMPILED)}"
    if recipe.target.device != "cpu":
        fix = "remove it from `references`"
        yield Problem(f"{COMPILED} is measured on the CPU only", where, recipe.target.device, "device: cpu", fix)
        return
    lacking = missing_compiler()
    if lacking is not None:
        yield replace(lacking, where=where)


def _needed(left: Kind, where: str, name: str, reader: str) -> Problem:
    """Say that an optional step may not be left out, since of what would then be there nothing can be made."""
    instead = ", or put a required `export` after it" if left == TORCH and name != "export" else ""
    return Problem(
        f"'{name}' cannot be optional: if it fails, {a_kind(left)} model is left", where, "optional: true",
        f"a required step before {reader}", f"leave `optional` out of '{name}'{instead}",
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


def _misread(recipe: Recipe) -> Iterator[Problem]:
    """Yield steps that do not read what a step before them writes for another runtime."""
    for number, step in enumerate(recipe.passes):
        wanted = step.config.reads_form
        for earlier in recipe.passes[:number]:
            form = earlier.config.writes_form
            if wanted is None or form in (None, wanted):
                continue
            has_form = "placement" in type(earlier.config).model_fields
            say = f"`{earlier.name}: {{mode: static, placement: {wanted}}}`" if has_form else f"remove '{earlier.name}'"
            yield Problem(
                f"'{step.name}' does not read what '{earlier.name}' writes", f"passes.{number}.{step.name}",
                f"a model in the form of {form}", f"in that of {wanted}", say,
            )  # fmt: skip


def _unread(kind: Kind, recipe: Recipe, passes: Passes) -> Iterator[Problem]:
    """Yield required steps that write operators which no runtime of their result is sure to read."""
    runs = ways(kind, recipe, passes)
    for number, step in enumerate(recipe.passes):
        reader, instead = step.config.only_in or ("", "")
        if reader and runs and reader not in runs and not step.optional:
            what = f"'{step.name}' writes operators that only {reader} is sure to read, and {runs[0]} runs the result"
            fix = f"{instead}, remove '{step.name}', or target: {{runtime: {reader}}}"
            yield Problem(what, f"passes.{number}.{step.name}", fix=fix)


def ways(kind: Kind, recipe: Recipe, passes: Passes) -> tuple[str, ...]:
    """Return the runtimes of the target that run what becomes of a source of a kind: the chain is run for each.

    ONNX Runtime goes first, if it is among them, then the others in the order of their table.
    """
    every, device = runtime_table(), recipe.target.device
    named = [name for name in (recipe.target.runtimes or every) if name in every]
    able = [name for name in named if device in every[name].devices and not every[name].missing]
    fit = [name for name in able if next(misfits(kind, in_runtime(recipe, name), passes), None) is None]
    return tuple(sorted(fit, key=lambda name: (name != "onnxruntime", list(every).index(name))))


def in_runtime(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe for one runtime of its target."""
    return recipe.model_copy(update={"target": recipe.target.model_copy(update={"runtime": name})})


def advice(recipe: Recipe, passes: Passes) -> list[str]:
    """Return what will work but costs speed, and what is not tried: it is not installed, or takes no such model."""
    names = [step.name for step in recipe.passes]
    found: list[str] = []
    if "fuse" in names and "quantize" in names[names.index("fuse") :]:
        found = [
            "`fuse` stands before `quantize`: fused convolutions are passed over by the quantizer; fuse afterwards"
        ]
    return [*found, *_untried(recipe, passes), *map(str, absent(recipe.target))]


def _untried(recipe: Recipe, passes: Passes) -> Iterator[str]:
    """Yield why runtimes that a list of them names are not tried, though they are there."""
    kind, every = source_kind(recipe, passes), runtime_table()
    named = [name for name in recipe.target.runtimes if name in every and not every[name].missing]
    tried = ways(kind, recipe, passes)
    for name in named if len(recipe.target.runtimes) > 1 else ():
        if name not in tried:
            reason = next(misfits(kind, in_runtime(recipe, name), passes), None)
            device = f"it does not run on the device {recipe.target.device}"
            yield f"{name} is not tried: {device if reason is None else reason.what}"


def source_kind(recipe: Recipe, passes: Passes) -> Kind:
    """Tell the kind of the source from the recipe alone; Python may return either kind, and the steps tell which."""
    if recipe.model.source.startswith(PREFIX):
        return TORCH
    file = None if is_code(recipe.model.source) else format_for(Path(recipe.model.source))
    if file is not None:
        return file.name
    if recipe.model.source.endswith(SCRIPTED):  # exported before the first step
        return ONNX
    return TORCH if any(TORCH in passes[step.name].accepts for step in recipe.passes) else ONNX


def _missing(
    pass_: Pass[Any], step: Step, where: str, recipe: Recipe, hardware: Hardware
) -> Iterator[Problem]:  # fmt: skip
    needs = pass_.requires
    absent = [name for name in needs.packages if version(name) is None]
    if absent:
        fix = install_command(needs.extra) if needs.extra else f"pip install {' '.join(absent)}"
        yield Problem(f"'{pass_.name}' needs {', '.join(absent)}", where, "not installed", fix=fix)
    if needs.gpu and hardware.gpu is None:
        yield Problem(f"'{pass_.name}' needs a GPU, and this machine has none", where, fix="run on a machine with one")
    for lacking in step.config.lacking(hardware.gpu):
        yield replace(lacking, where=f"{where}.{lacking.where}" if lacking.where else where)
    if needs.calibration and recipe.data.calibration is None:
        yield Problem(f"'{pass_.name}' needs calibration data", where, fix="add data.calibration to the recipe")
    if pass_.trains(step.config) and recipe.data.train is None:
        yield Problem(f"'{pass_.name}' needs training data", where, fix="add data.train to the recipe")


def a_kind(kind: Kind) -> str:
    """Name a kind with its article, for sentences that go on with "model"."""
    return format_of(kind).label
