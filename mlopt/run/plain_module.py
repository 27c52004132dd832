"""A PyTorch model that leaves mlopt: out of a verified artifact, into a folder that makes the module without mlopt.

What is written was tried: built from that folder, in a process of its own, it answers as the artifact's own model.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.artifact import archive, deployed
from mlopt.artifact.files import creating, reading, sync, writing
from mlopt.artifact.layout import TORCH_FOLDER, Role
from mlopt.artifact.verify import Verified
from mlopt.core.errors import MloptError, ModelError, OutputError, Problem, UserError
from mlopt.core.usercode import CodeReference
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.data.feeds import batches
from mlopt.data.fitting import make_up
from mlopt.formats.model import TORCH, Model, TensorSpec
from mlopt.formats.torch import portable
from mlopt.formats.torch.model import BUILD, build, load_module
from mlopt.formats.torch.witness import Feed, Witness, answers_differ, observe
from mlopt.passes.base import Pass
from mlopt.recipe.schema import is_code
from mlopt.recipe.yaml_reader import read_text
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import deploy

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLES = 4
_AGAIN = "make the artifact again with this mlopt: mlopt optimize RECIPE"


@dataclass(frozen=True)
class PlainModule:
    """What was written."""

    path: Path
    function: str
    """The author's function that makes the module; of a program, the file."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def source(self) -> str:
        """What a recipe calls it."""
        return f"{self.path / BUILD}:build"


def write(verified: Verified, out: Path, passes: Mapping[str, Pass[Any]], *, allow_code: bool) -> PlainModule:
    """Write the PyTorch model of an artifact into ``out``, which is not there yet, whole or not at all.

    Raises ``UserError`` if the artifact has none, or Python would run without consent; ``IntegrityError`` when a file
    is no longer what was verified; ``ModelError`` if what was made of it answers otherwise; ``OutputError``.
    """
    check_place(verified, out)
    target = out.resolve()
    with writing(out):
        target.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        new.chmod(0o755)
    try:
        _fill(verified, new, passes)
        code = portable.runs_python(new)
        if code is not None and not allow_code:
            raise UserError(
                "this runs Python, which takes your consent", where=str(verified.directory / TORCH_FOLDER),
                got=f"{code.path.name}:{code.function}", fix="read that code, then add --allow-code",
            )  # fmt: skip
        model = _checked(new, target)
        files = tuple(sorted(file.relative_to(new).as_posix() for file in new.rglob("*") if file.is_file()))
        with writing(out):
            sync([*new.rglob("*"), new])
            new.rename(target)
            sync([target.parent])
    finally:
        shutil.rmtree(new, ignore_errors=True)
    function = portable.PROGRAM if code is None else f"{code.path.name}:{code.function}"
    return PlainModule(out, function, model.inputs, tuple(spec.name for spec in model.outputs), files)


def check_place(verified: Verified, out: Path) -> None:
    """Raise ``OutputError`` unless there is nothing at ``out``, and it lies outside the artifact."""
    archive.check_outside(verified, out)
    if os.path.lexists(out):
        raise OutputError(
            "something is there already, and is not overwritten", where=str(out), expected="a folder that is not there",
            fix="choose another with -o DIR, or move what is there away",
        )  # fmt: skip


def _fill(verified: Verified, folder: Path, passes: Mapping[str, Pass[Any]]) -> None:
    """Copy the model's files, each as it was verified; a program that is shipped itself is made into such a folder."""
    names = [name for name, role in verified.manifest.files.items() if role is Role.TORCH]
    if names:
        for name in names:
            with reading(verified.directory), creating(folder, name.removeprefix(f"{TORCH_FOLDER}/")) as put:
                for data in archive.content(verified, name):
                    put(memoryview(data))
    elif verified.manifest.model.kind == TORCH:
        portable.write(deployed.shipped(verified.directory, verified.manifest).model, folder)
    else:
        raise _none(verified, passes)


def _none(verified: Verified, passes: Mapping[str, Pass[Any]]) -> UserError:
    """Say why there is no PyTorch model, and what there is instead."""
    manifest, told = verified.manifest, {"where": str(verified.directory)}
    lock = _text(verified, manifest.file_of(Role.RECIPE)) if Role.RECIPE in manifest.files.values() else "{}"
    recipe = read_text(lock, "recipe.lock.yaml").data
    model = recipe.get("model", {}) if isinstance(recipe, dict) else {}
    source = str(model.get("source", ""))
    if not is_code(source):
        return UserError(
            "the artifact holds no PyTorch model: it was not made from one", **told, got=f"model.source: {source}",
            fix="name the Python that builds the model as model.source, and let a pass such as prune change it",
        )  # fmt: skip
    steps = [next(iter(step)) if isinstance(step, dict) else step for step in recipe.get("passes", ())]
    changing = [name for name in steps if name in passes and passes[name].produces == TORCH]
    changing += ["model.train"] if model.get("train") else []
    if not changing:
        return UserError(
            "the artifact holds no PyTorch model of its own: no pass changed the source's", **told,
            got=f"model.source: {source}", fix=f"that function is the model: call it{_weights(model)}",
        )  # fmt: skip
    if model.get("keep_torch") is False:
        return UserError("the artifact holds no PyTorch model: its recipe leaves it out", **told,
                         got="model.keep_torch: false", fix=f"remove that key, and {_AGAIN}")  # fmt: skip
    return UserError(
        "the artifact holds no PyTorch model", **told, got=f"made by mlopt {manifest.mlopt}, by {', '.join(changing)}",
        expected=f"the files of what was shipped in {TORCH_FOLDER}/",
        fix=f"where the report says that they were kept, an older mlopt made it: {_AGAIN}",
    )  # fmt: skip


def _weights(model: Mapping[str, Any]) -> str:
    weights = str(model.get("weights") or "")
    if not weights:
        return ""
    return f", and then {weights}, which trains it" if is_code(weights) else f", and load {weights}"


def _text(verified: Verified, name: str) -> str:
    with reading(verified.directory):
        return b"".join(archive.content(verified, name)).decode("utf-8")


def _checked(folder: Path, target: Path) -> Model:
    """Return the model in ``folder``; raises ``ModelError`` unless ``build.py`` makes one that answers the same.

    Of it, users are told as of ``target``, where it will be.
    """
    with tempfile.TemporaryDirectory(prefix="mlopt-export-") as scratch:
        log = Path(scratch) / "log"
        try:
            model = run_in_worker(log, portable.opened, folder)
            samples = make_up(deploy(model, RuntimeOptions(threads=1)), _SAMPLES, Path(scratch) / "samples", log)
            feeds = [dict(feed) for feed, _ in batches(samples, model.inputs, 1)][:_SAMPLES]
            own = run_in_worker(log, _answers, model, feeds)
            plain = run_in_worker(log, _answers_plainly, model, folder, feeds)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise ModelError("the model could not be made again", where=str(target), got=str(error)) from error
        except MloptError as error:
            told = [_told(each, folder, target) for each in error.problems]
            raise type(error).of(told) from error
    reason = own.failure or answers_differ(own, plain)
    if reason is not None:
        raise ModelError(
            "build.py does not make the model that the artifact holds", where=str(target), got=reason.replace(
                str(folder), str(target)
            ), expected="the same answers", fix="keep all that makes up the model in parameters, persistent buffers "
            "and Python that build() imports; it may read no other file",
        )  # fmt: skip
    return model


def _told(problem: Problem, folder: Path, target: Path) -> Problem:
    return replace(problem, where=problem.where and problem.where.replace(str(folder), str(target)))


def _answers(model: Model, feeds: Sequence[Feed]) -> Witness:
    return observe(load_module(model), model.inputs, feeds, _code(model.path))


def _answers_plainly(model: Model, folder: Path, feeds: Sequence[Feed]) -> Witness:
    names = [spec.name for spec in model.outputs]
    return observe(build(CodeReference(folder / BUILD, "build"), model.inputs, names), model.inputs, feeds,
                   _code(model.path))  # fmt: skip


def _code(path: Path) -> CodeReference:
    folder = path if path.is_dir() else path.parent
    return portable.runs_python(folder) or CodeReference(folder / BUILD, "build")
