"""A PyTorch model on disk: a directory that says how to build the module, or a ``.pt2`` program of ``torch.export``.

No pickle is kept. The directory holds ``source.json``, which names the recipe's ``build()``, the sizes of layers that a
pass made smaller, and ``weights.safetensors``: the module is built again when it is needed, made as small, and gets
these weights. A ``.pt2`` file is read without what is pickled in it.

What a PyTorch model returns is known only when it runs: ``Model.outputs`` holds the declared names without dtypes and
shapes, or nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import MissingPackage, MloptError, ModelError
from mlopt.core.packages import install_command
from mlopt.core.usercode import CodeReference, globals_of, own_line, seeded, with_traceback
from mlopt.formats.model import TORCH, Model, TensorSpec, digest_file
from mlopt.formats.torch.advice import known_fix
from mlopt.formats.torch.call import bind
from mlopt.formats.torch.misfit import fit, unfitting
from mlopt.formats.torch.program import not_a_program, plain_copy
from mlopt.formats.torch.rebuild import read_state, resize, unwrapped
from mlopt.formats.torch.resized import changed, sizes
from mlopt.formats.torch.state import check_present, check_sized, save_state

if TYPE_CHECKING:
    import torch

    from mlopt.formats.torch.module import Flat

SOURCE, WEIGHTS, BUILD = "source.json", "weights.safetensors", "build.py"


def open_torch(path: Path) -> Model:
    """Return the handle on a directory that ``materialize`` wrote."""
    source = read_source(path)
    inputs = tuple(TensorSpec(spec["name"], spec["dtype"], tuple(spec["shape"])) for spec in source["inputs"])
    outputs = tuple(TensorSpec(name, "", ()) for name in source["outputs"])
    stated = [source[key] for key in ("code_digest", "function", "inputs", "outputs")]
    stated += [source["sizes"]] if source.get("sizes") else []
    digest = hashlib.sha256(json.dumps([*stated, digest_file(path / WEIGHTS)]).encode()).hexdigest()
    return Model(TORCH, path, digest, inputs, outputs, (path / SOURCE, path / WEIGHTS))


def open_program(path: Path, inputs: tuple[TensorSpec, ...] = (), outputs: tuple[str, ...] = ()) -> Model:
    """Return the handle on a ``.pt2`` file; without declared ``inputs`` it has the program's own names and shapes."""
    own = _program_inputs(_load_program(path), path)
    if inputs and len(inputs) != len(own):
        raise _wrong_inputs(path, inputs, own)
    named = tuple(TensorSpec(name, "", ()) for name in outputs)
    return Model(TORCH, path, digest_file(path), inputs or own, named, (path,))


def origin(model: Model) -> str:
    """Return what its author calls the model: ``file.py:build``, or the ``.pt2`` file."""
    if not model.path.is_dir():
        return str(model.path)
    return str(code_of(model.path))


def load_module(model: Model) -> Flat:
    """Return the module, ready to run: it takes the tensors of ``model.inputs`` in order and gives a tuple of tensors.

    Raises ``ModelError`` if the Python that builds it has changed since.
    """
    from mlopt.formats.torch.module import Flat

    if not model.path.is_dir():
        return Flat(*_program_call(model))
    source, code = read_source(model.path), code_of(model.path)
    check_unchanged(code, source["code_digest"])
    module = unwrapped(call(code))
    check_sized(module, str(code))
    try:
        resize(module, source.get("sizes", {}))
    except LookupError as error:
        raise ModelError(
            "the module has no such layer any more", where=str(code), got=str(error.args[0]),
            expected="the layers that were resized", fix="run the passes again",
        ) from error  # fmt: skip
    misfit = fit(module, read_state(model.path / WEIGHTS))
    if misfit:
        raise unfitting(misfit, source["weights"] or str(code))
    check_present(module, str(code))
    bound = bind(module, [spec.name for spec in model.inputs], str(code))
    names = [spec.name for spec in model.outputs]
    return Flat(evaluating(module), *bound, names, partial(load_module, model), globals_of(code.path))


def build(code: CodeReference, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> Flat:
    """Return the module that a function of a recipe makes, as ``load_module`` gives one; raises ``ModelError``."""
    from mlopt.formats.torch.module import Flat

    module = unwrapped(call(code))
    check_sized(module, str(code))
    check_present(module, str(code))
    bound = bind(module, [spec.name for spec in inputs], str(code))
    rebuild = partial(build, code, inputs, outputs)
    return Flat(evaluating(module), *bound, outputs, rebuild, globals_of(code.path))


def save_changed(
    model: Model,
    module: torch.nn.Module,
    out: Path,
    code: CodeReference | None = None,
    *,
    trained_by: str | None = None,
) -> Path:
    """Write what a pass made of a module, a directory like that of ``model``, and return it.

    It has other weights, and may have layers of other sizes than ``build()`` makes; or ``code`` builds it. The folder
    is there whole, or not at all. ``trained_by`` is what messages name for weights that are the source's own.
    """
    source, own = read_source(model.path), code_of(model.path)
    found = authors_own(code or own)
    source["code"] = str(found.path)  # where it lies may be told relative to ``model``
    if code is not None or found != own:
        source |= {"function": found.function, "code_digest": found.digest, "weights": None}
    if trained_by is not None:
        source |= {"weights": trained_by, "trained": True}
    fresh = unwrapped(call(found))
    source["sizes"] = changed(sizes(fresh), sizes(module))
    work = out.with_name(f"{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    save_state(module, work / WEIGHTS, origin(model))
    (work / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    return work.rename(out)


def code_of(path: Path) -> CodeReference:
    """Return the function that builds the module of a directory; its file may be named relative to that."""
    source = read_source(path)
    return CodeReference(path / source["code"], source["function"])


def check_unchanged(code: CodeReference, digest: str) -> None:
    """Raise ``ModelError`` unless the Python that builds a model is there, and as it was."""
    if not code.path.is_file():
        raise ModelError("the Python file that built the model is not there any more", where=str(code),
                         fix="put it back, or run again with --no-cache")  # fmt: skip
    if code.digest != digest:
        raise ModelError("the Python file changed after the model was built", where=str(code), fix="run it again")


def authors_own(code: CodeReference) -> CodeReference:
    """Return the function that a ``build()`` which mlopt wrote beside a model calls; any other as it is."""
    folder = code.path.parent
    written = read_source(folder).get("build_digest") if (folder / SOURCE).is_file() else None
    if written is None or code != CodeReference(folder / BUILD, "build") or digest_file(code.path) != written:
        return code
    return code_of(folder)


def output_names(declared: Sequence[str], count: int, where: str) -> tuple[str, ...]:
    """Return the declared names if they are as many as the model's outputs; ``output``, or ``output_0`` and so on."""
    if declared and len(declared) != count:
        raise ModelError(
            "the model has another number of outputs than declared", where=where, got=str(count),
            expected=f"{len(declared)}: {', '.join(declared)}", fix="correct model.outputs in the recipe",
        )  # fmt: skip
    return tuple(declared) or (("output",) if count == 1 else tuple(f"output_{index}" for index in range(count)))


def import_torch() -> Any:
    """Return the module; raises ``MissingPackage``."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackage("PyTorch is not installed", got=str(error), fix=install_command("torch")) from error
    return torch


@contextmanager
def foreign_code(what: str, where: str, advice: Callable[[Exception], str | None] | None = None) -> Iterator[None]:
    """Turn whatever Python that is not mlopt's raises into a ``ModelError`` that names the last line of it.

    ``advice`` may know how to mend it, before what is always mended alike.
    """
    try:
        yield
    except MloptError as error:
        raise type(error).of(replace(each, where=each.where or where) for each in error.problems) from error
    except Exception as error:  # code that is not ours may raise anything
        lines = [line for line in str(error).splitlines() if line.strip()]
        message = f"{type(error).__name__}: {lines[0].strip() if lines else ''}"
        fix = (advice(error) if advice else None) or known_fix(message)
        raise with_traceback(
            ModelError(what, where=own_line(error) or where, got=message[:400], fix=fix), error
        ) from error


def call(code: CodeReference, *args: Any) -> Any:
    """Run a function of the recipe, with a fixed seed; raises ``ModelError`` for whatever it raises."""
    import_torch()
    with foreign_code(f"{code.function}() failed", str(code)):
        seeded()
        function = code.load()
        seeded()
        return function(*args)


def evaluating(module: torch.nn.Module) -> torch.nn.Module:
    """Switch to evaluation; what ``torch.export`` made is in the one mode that it was made in."""
    with suppress(NotImplementedError):
        module.eval()
    return module


def _load_program(path: Path) -> torch.export.ExportedProgram:
    torch = import_torch()
    if not path.is_file():
        raise ModelError("the model file does not exist", where=str(path), fix="check the path")
    with plain_copy(path) as copy:
        try:
            return torch.export.load(copy)
        except Exception as error:  # the loader meets what is wrong with a file wherever it trips over it
            raise not_a_program(path, error) from error


def _program_inputs(program: torch.export.ExportedProgram, path: Path) -> tuple[TensorSpec, ...]:
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    names = program.graph_signature.user_inputs
    if not all(hasattr(values.get(name), "shape") for name in names):
        raise ModelError("the program takes more than tensors", where=str(path), got=str(program.call_spec.in_spec))
    return tuple(_spec(name, values[name]) for name in names)


def _program_call(model: Model) -> tuple[torch.nn.Module, int, tuple[str, ...]]:
    """Return the program's module, how many inputs it takes by position, and the names of the others."""
    program = _load_program(model.path)
    if digest_file(model.path) != model.digest:
        raise ModelError("the program changed while it was used", where=str(model.path), fix="run it again")
    own = _program_inputs(program, model.path)
    args, kwargs = program.call_spec.in_spec.children()
    if not len(own) == len(model.inputs) == args.num_children + kwargs.num_children:
        raise _wrong_inputs(model.path, model.inputs, own)
    return program.module(), args.num_children, tuple(kwargs.context or ())


def _wrong_inputs(path: Path, declared: Sequence[TensorSpec], own: Sequence[TensorSpec]) -> ModelError:
    return ModelError(
        "the declared inputs are not the program's", where=str(path), got="; ".join(map(str, declared)) or "none",
        expected="; ".join(map(str, own)), fix="correct model.inputs in the recipe",
    )  # fmt: skip


def _spec(name: str, value: torch.Tensor) -> TensorSpec:
    """A free dimension keeps the program's symbol (``s77``) if that is a plain one."""
    shape = tuple(
        size if isinstance(size, int) else str(size) if str(size).isidentifier() else f"dynamic_{axis}"
        for axis, size in enumerate(value.shape)
    )
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)


def read_source(path: Path) -> dict[str, Any]:
    """Return what the directory says of how its module is built; raises ``ModelError`` if it is no such directory."""
    file = path / SOURCE
    if not file.is_file():
        raise ModelError(
            "this is no PyTorch model that mlopt wrote",
            where=str(path),
            expected=f"a directory with {SOURCE}",
        )
    source: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return source
