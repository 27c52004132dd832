"""What runs with consent is what was digested: no bytecode, no other module, no library slips in beside it."""

from __future__ import annotations

import importlib.util
import marshal
import py_compile
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopt.core import digested, usercode
from mlopt.core.errors import MloptError
from mlopt.core.usercode import CodeReference

GOOD, EVIL = "WHO = 'good'\n", "WHO = 'evil'\n"
REFUSED = "was about to run a file that its digest does not cover"


def cached(file: Path, source: str, *, flags: int) -> None:
    """Put bytecode of another source where Python looks for that of ``file``; flags 1: never checked against it."""
    at = Path(importlib.util.cache_from_source(str(file)))
    at.parent.mkdir(exist_ok=True)
    status = file.stat()
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", flags)
    told = struct.pack("<II", int(status.st_mtime), status.st_size) if flags == 0 else bytes(8)
    at.write_bytes(head + told + marshal.dumps(compile(source, str(file), "exec")))


def compiled(source: str, at: Path) -> None:
    (at.parent / "source.tmp").write_text(source)
    py_compile.compile(str(at.parent / "source.tmp"), cfile=str(at), dfile="/usr/lib/python3/harmless.py", doraise=True)
    (at.parent / "source.tmp").unlink()


def loaded(folder: Path, text: str) -> object:
    (folder / "recipe_code.py").write_text(textwrap.dedent(text))
    return CodeReference(folder / "recipe_code.py", "build").load()()


@pytest.fixture(autouse=True)
def forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith(("helper", "mlopt_recipe_recipe_code"))]:
        del sys.modules[name]


@pytest.mark.parametrize("flags", [0, 1, 3], ids=["by time and size", "unchecked hash", "checked hash"])
@pytest.mark.parametrize("way", ["itself", "helper", "package", "importlib", "spec", "within the function"])
def test_bytecode_beside_a_file_is_not_read(tmp_path: Path, way: str, flags: int) -> None:
    code = {
        "itself": "WHO = 'good'\ndef build(): return WHO\n",
        "helper": "import helper\ndef build(): return helper.WHO\n",
        "package": "import helper.deep\ndef build(): return helper.deep.WHO\n",
        "importlib": "import importlib, helper\ndef build(): return importlib.reload(helper).WHO\n",
        "spec": """
            import helper, importlib.util
            def build():
                spec = importlib.util.spec_from_file_location('helper_again', helper.__file__)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module.WHO
            """,
        "within the function": "def build():\n    import helper\n    return helper.WHO\n",
    }[way]
    (tmp_path / "recipe_code.py").write_text(textwrap.dedent(code))
    target = tmp_path / "recipe_code.py"
    if way == "package":
        (tmp_path / "helper").mkdir()
        (tmp_path / "helper" / "__init__.py").write_text("")
        target = tmp_path / "helper" / "deep.py"
        target.write_text(GOOD)
    elif way != "itself":
        target = tmp_path / "helper.py"
        target.write_text(GOOD)
    evil = code.replace("good", "evil") if way == "itself" else EVIL
    cached(target, textwrap.dedent(evil), flags=flags)
    assert loaded(tmp_path, code) == "good"


def sourceless(folder: Path) -> None:
    compiled(EVIL, folder / "helper.pyc")


def library(folder: Path) -> None:
    import _json

    (folder / "helper.so").write_bytes(Path(_json.__file__).read_bytes() if hasattr(_json, "__file__") else b"\x7fELF")


def outside(folder: Path) -> None:
    (folder / "helper.py").write_text(EVIL)


def package(folder: Path) -> None:
    (folder / "helper").mkdir()
    (folder / "helper" / "__init__.py").write_text(EVIL)


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "helper.zip", "w") as file:
        file.writestr("helper_zipped.py", EVIL)


SPEC = """
    from pathlib import Path
    import importlib.machinery, importlib.util
    def build():
        path = str(Path(__file__).with_name('NAME'))
        loader = importlib.machinery.LOADER('helper', path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader('helper', loader))
        loader.exec_module(module)
        return module.WHO
    """
WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bare .pyc": (sourceless, "def build():\n    import helper\n    return helper.WHO\n"),
    "a bare .pyc by its loader": (
        sourceless, SPEC.replace("NAME", "helper.pyc").replace("LOADER", "SourcelessFileLoader")
    ),
    "a source by its loader": (outside, SPEC.replace("NAME", "helper.py").replace("LOADER", "SourceFileLoader")),
    "a name that is put together": (
        outside, "import importlib\ndef build(): return importlib.import_module('hel' + 'per').WHO\n"
    ),
    "__import__": (outside, "def build(): return __import__('hel' + 'per').WHO\n"),
    "a package": (package, "import importlib\ndef build(): return importlib.import_module('hel' + 'per').WHO\n"),
    "runpy": (
        outside, ("import runpy\nfrom pathlib import Path\n"
        "def build(): return runpy.run_path(str(Path(__file__).with_name('helper.py')))['WHO']\n")
    ),
    "a relative path": (
        outside,
        (
            "import os, runpy\nfrom pathlib import Path\ndef build():\n"
            "    os.chdir(Path(__file__).parent)\n    return runpy.run_path('helper.py')['WHO']\n"
        ),
    ),
    "a relative .pyc": (
        sourceless,
        (
            "import os\nfrom importlib.machinery import SourcelessFileLoader\nfrom pathlib import Path\ndef build():\n"
            "    os.chdir(Path(__file__).parent)\n"
            "    exec(SourcelessFileLoader('helper', 'helper.pyc').get_code('helper'))\n"
        ),
    ),
    "another suffix": (
        lambda folder: (folder / "helper.txt").write_text(EVIL) and None,
        SPEC.replace("NAME", "helper.txt").replace("LOADER", "SourceFileLoader"),
    ),
    "a native module": (library, "def build(): return __import__('hel' + 'per').WHO\n"),
    "a library": (
        library, ("import ctypes\nfrom pathlib import Path\n"
        "def build(): return ctypes.CDLL(str(Path(__file__).with_name('helper.so')))\n")
    ),
    "an archive on the path": (
        archive, ("import sys\nfrom pathlib import Path\ndef build():\n"
        "    sys.path.insert(0, str(Path(__file__).with_name('helper.zip')))\n"
        "    return __import__('helper_' + 'zipped').WHO\n")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_what_is_not_digested_does_not_run(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    prepare, code = WAYS[name]
    prepare(tmp_path)
    with pytest.raises((MloptError, ImportError, OSError)) as caught:
        loaded(tmp_path, code)
    assert REFUSED in str(caught.value) or "mlopt reads no bytecode" in str(caught.value)


def test_what_pytorchs_compiler_writes_for_the_run_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "generated").mkdir()
    outside(tmp_path / "generated")
    at = "parent.joinpath('generated', 'helper.py')"
    code = SPEC.replace("with_name('NAME')", at).replace("LOADER", "SourceFileLoader")
    with pytest.raises(MloptError, match=REFUSED):
        loaded(tmp_path, code)
    monkeypatch.setattr(digested, "_GENERATED", str(tmp_path / "generated"))
    assert loaded(tmp_path, code) == "evil"


def test_a_native_module_that_is_named_is_digested(tmp_path: Path) -> None:
    library(tmp_path)
    (tmp_path / "recipe_code.py").write_text("def build():\n    import helper\n    return helper.WHO\n")
    sys.path.insert(0, str(tmp_path))
    try:
        assert "helper.so" in CodeReference(tmp_path / "recipe_code.py", "build").digests
    finally:
        sys.path.remove(str(tmp_path))


def test_a_file_that_changes_after_it_was_read_runs_as_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helper.py").write_text(GOOD)
    read = usercode._read

    def changed_meanwhile(path: Path) -> dict[str, bytes]:
        found = read(path)
        (tmp_path / "helper.py").write_text(EVIL)
        return found

    monkeypatch.setattr(usercode, "_read", changed_meanwhile)
    assert loaded(tmp_path, "import helper\ndef build(): return helper.WHO\n") == "good"


@pytest.mark.process
def test_other_code_of_the_process_imports_as_ever(tmp_path: Path) -> None:
    """Whoever uses mlopt as a library has modules of their own."""
    (tmp_path / "recipe_code.py").write_text("def build(): return 1\n")
    (tmp_path / "mine.py").write_text("VALUE = 7\n")
    told = (
        "import sys\nfrom pathlib import Path\nfrom mlopt.core.usercode import CodeReference\n"
        "CodeReference(Path('recipe_code.py').resolve(), 'build').load()()\n"
        "sys.path.insert(0, '.')\nimport mine\nassert mine.VALUE == 7\n"
        "sys.path.insert(0, '.')\nimport importlib; importlib.reload(mine)\n"
    )
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{told}"], cwd=tmp_path, check=True, timeout=60
    )


def test_what_is_installed_imports_as_ever(tmp_path: Path) -> None:
    code = "def build():\n    import yaml, importlib\n    return importlib.import_module('nu' + 'mpy').__name__\n"
    assert loaded(tmp_path, code) == "numpy"
