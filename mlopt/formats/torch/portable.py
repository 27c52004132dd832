"""A folder that makes a PyTorch model anew without mlopt: the author's Python, sizes, weights, and ``build.py``.

No pickle is in it. It is a directory as ``mlopt.formats.torch.model`` reads one, too, whose Python lies beside: the
files that build the module, as they were digested, and nothing that they read besides. Of a ``.pt2`` program it holds
a copy without what was pickled in it.
"""

from __future__ import annotations

import json
import keyword
import shutil
import sys
from pathlib import Path

from mlopt.core.errors import ModelError
from mlopt.core.usercode import CodeReference, local_files
from mlopt.formats.model import Model, TensorSpec, digest_file
from mlopt.formats.torch import rebuild
from mlopt.formats.torch.model import (
    BUILD,
    SOURCE,
    WEIGHTS,
    check_unchanged,
    code_of,
    open_program,
    open_torch,
    read_source,
)
from mlopt.formats.torch.program import plain_copy

PROGRAM = "model.pt2"
_REBUILD = "mlopt_rebuild.py"
_RESERVED = frozenset({BUILD, SOURCE, WEIGHTS, PROGRAM, _REBUILD})
_USE = '''"""A PyTorch model as mlopt left it; this takes {needs}, and no mlopt.

    from build import build

    model = build(){note}
"""
'''
_OF_CODE = '''
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from mlopt_rebuild import rebuilt  # noqa: E402
from {module} import {function} as factory  # noqa: E402


def build():
    """Return the module with its weights, in evaluation."""
    return rebuilt(factory, HERE / "source.json", HERE / "weights.safetensors")
'''
_OF_PROGRAM = '''
from pathlib import Path

import torch


def build():
    """Return the program as a module."""
    return torch.export.load(Path(__file__).resolve().parent / "model.pt2").module()
'''


def write(model: Model, folder: Path) -> None:
    """Write the model into a folder that is not there yet, or empty.

    Nothing of it is run. Raises ``ModelError`` if its Python has changed, or lies in files that cannot lie together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if model.path.is_dir():
        _write_built(model, folder)
    else:
        _write_program(model, folder)


def opened(folder: Path) -> Model:
    """Return the handle on what ``write`` wrote."""
    source = read_source(folder)
    if not (folder / PROGRAM).is_file():
        return open_torch(folder)
    inputs = tuple(TensorSpec(spec["name"], spec["dtype"], tuple(spec["shape"])) for spec in source["inputs"])
    return open_program(folder / PROGRAM, inputs, tuple(source["outputs"]))


def runs_python(folder: Path) -> CodeReference | None:
    """Return the author's function that is called to make the model of such a folder; None for a program.

    Raises ``ModelError`` if that is none of its files.
    """
    if (folder / PROGRAM).is_file():
        return None
    code = code_of(folder)
    if not code.path.resolve().is_relative_to(folder.resolve()) or not code.path.is_file():
        raise ModelError("the Python of the model is not beside it", where=str(folder), got=str(code))
    return code


def read_by(code: CodeReference) -> list[Path]:
    """Return what a ``build()`` that ``write`` wrote reads besides Python; nothing if it is another one."""
    folder = code.path.parent
    if code.path.name != BUILD or not (folder / SOURCE).is_file():
        return []
    return [folder / name for name in (SOURCE, WEIGHTS, PROGRAM) if (folder / name).is_file()]


def _write_built(model: Model, folder: Path) -> None:
    source, code = read_source(model.path), code_of(model.path)
    check_unchanged(code, source["code_digest"])
    main = _copy_code(code, folder)
    shutil.copyfile(model.path / WEIGHTS, folder / WEIGHTS)
    shutil.copyfile(rebuild.__file__, folder / _REBUILD)
    use = _USE.format(needs="PyTorch, safetensors, and what its author's Python imports",
                      note="  # .train() to train it further, .state_dict() to keep it")  # fmt: skip
    text = use + _OF_CODE.format(module=main.stem, function=code.function)
    (folder / BUILD).write_text(text, encoding="utf-8")
    source |= {
        "code": main.name, "code_digest": CodeReference(main, code.function).digest, "weights": None,
        "build_digest": digest_file(folder / BUILD),
    }  # fmt: skip
    _write_source(folder, source)


def _write_program(model: Model, folder: Path) -> None:
    with plain_copy(model.path) as copy:
        shutil.copyfile(copy, folder / PROGRAM)
    note = "  # in the one mode, training or evaluation, that it was made in"
    (folder / BUILD).write_text(_USE.format(needs="PyTorch", note=note) + _OF_PROGRAM, encoding="utf-8")
    inputs, outputs = [spec.as_dict() for spec in model.inputs], [spec.name for spec in model.outputs]
    _write_source(folder, {"program": PROGRAM, "inputs": inputs, "outputs": outputs})


def _write_source(folder: Path, source: dict[str, object]) -> None:
    (folder / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


def _copy_code(code: CodeReference, folder: Path) -> Path:
    """Copy the file and all that it imports, so that they find each other; return where the file itself is."""
    placed: dict[str, Path] = {}
    for file in local_files(code.path):
        name = _main_name(file) if file == code.path else _place(file, code.path.parent).as_posix()
        if name in placed or name in _RESERVED:
            raise ModelError(
                "files of its Python cannot lie in one folder", where=str(file), got=f"the name {name} is taken",
                fix="rename that file",
            )  # fmt: skip
        placed[name] = file
    for name, file in placed.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    return folder / _main_name(code.path)


def _main_name(file: Path) -> str:
    """Return a name under which the file can be imported beside ``build.py``: its own, if it can be."""
    stem = file.stem
    taken = keyword.iskeyword(stem) or stem in sys.stdlib_module_names or file.name in _RESERVED
    if stem.isidentifier() and not taken:
        return file.name
    return "".join(letter if letter.isalnum() else "_" for letter in f"of_{stem}") + ".py"


def _place(file: Path, base: Path) -> Path:
    """Return where a module has to lie to be found by its name: relative to where Python finds it now."""
    roots = [root for root in (base, *map(Path, filter(None, sys.path))) if file.is_relative_to(root)]
    if roots:
        return file.relative_to(max(roots, key=lambda root: len(root.parts)))
    root = file.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return file.relative_to(root)
