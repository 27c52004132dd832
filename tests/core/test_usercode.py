"""Python that a recipe names: what counts as changed, and that a changed file is read again."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from mlopt.core.errors import ModelError
from mlopt.core.own_files import GENERATED
from mlopt.core.usercode import CodeReference, distributions, local_files, own_frame, parse_reference


def test_only_python_functions_are_references(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build(): return 1\n")
    assert parse_reference("model.onnx", tmp_path) is None
    found = parse_reference("./net.py:build", tmp_path)
    assert found == CodeReference(tmp_path / "net.py", "build")
    assert found.load()() == 1
    with pytest.raises(ModelError, match="does not exist"):
        parse_reference("./other.py:build", tmp_path)


def test_the_digest_covers_modules_and_packages_beside_it(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import helper\nimport parts.deep\n")
    (tmp_path / "helper.py").write_text("import json\n")
    (tmp_path / "parts/inner").mkdir(parents=True)
    for name in ("parts/__init__.py", "parts/deep.py", "parts/inner/__init__.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "unrelated.py").write_text("")
    reference = CodeReference(tmp_path / "net.py", "build")
    assert len(local_files(reference.path)) == 5
    seen = {reference.digest}
    for name in ("helper.py", "parts/__init__.py", "parts/deep.py", "parts/inner/__init__.py"):
        (tmp_path / name).write_text("VALUE = 1\n")
        seen.add(reference.digest)
    assert len(seen) == 5
    (tmp_path / "unrelated.py").write_text("VALUE = 1\n")
    assert reference.digest in seen


def test_a_changed_file_is_read_again_with_its_helpers(tmp_path: Path) -> None:
    (tmp_path / "metric_of_mine.py").write_text("import helper_of_mine\ndef value(): return helper_of_mine.VALUE\n")
    (tmp_path / "helper_of_mine.py").write_text("VALUE = 1\n")
    reference = CodeReference(tmp_path / "metric_of_mine.py", "value")
    assert reference.load()() == 1
    (tmp_path / "helper_of_mine.py").write_text("VALUE = 'two'\n")
    assert reference.load()() == "two"


def test_imported_distributions_are_known_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import json, numpy\nfrom PIL import Image\n")
    assert distributions(tmp_path / "net.py") == ("numpy", "pillow")


def test_helpers_are_found_wherever_python_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the recipe's file also when a package below imports them, in folders without __init__, on the path."""
    files = {
        "recipe/net.py": "import parts_of_mine.deep\nimport elsewhere_of_mine\n",
        "recipe/parts_of_mine/deep.py": "import top_of_mine\n",
        "recipe/top_of_mine.py": "",
        "lib/elsewhere_of_mine.py": "import other_of_mine\n",
        "lib/other_of_mine/__init__.py": "",
        "lib/other_of_mine/part.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    assert set(CodeReference(tmp_path / "recipe/net.py", "build").digests) == {
        "net.py", "parts_of_mine/deep.py", "top_of_mine.py", "../lib/elsewhere_of_mine.py",
        "../lib/other_of_mine/__init__.py", "../lib/other_of_mine/part.py",
    }  # fmt: skip


def test_a_file_that_no_digest_covers_does_not_run_unnoticed(tmp_path: Path) -> None:
    (tmp_path / "sly_recipe.py").write_text(
        "import importlib\nimportlib.import_module('sly_' + 'helper')\ndef f(): 1\n"
    )
    (tmp_path / "sly_helper.py").write_text("")
    with pytest.raises(ModelError, match="was about to run a file that its digest does not cover") as caught:
        CodeReference(tmp_path / "sly_recipe.py", "f").load()
    assert caught.value.problems[0].got == str(tmp_path / "sly_helper.py")
    assert caught.value.problems[0].fix == "write `import sly_helper` into the file that needs it"


def test_what_a_compiler_wrote_is_nobodys_own_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, generated = tmp_path / "net.py", tmp_path / "generated" / "c1.py"
    monkeypatch.delenv(GENERATED, raising=False)
    generated.parent.mkdir()
    for file in (own, generated):
        file.write_text("call()\n")
    frames = traceback.StackSummary.from_list([(str(own), 1, "forward", ""), (str(generated), 1, "call", "")])
    assert own_frame(frames) == f"{generated}:1"
    monkeypatch.setenv(GENERATED, str(generated.parent))
    assert own_frame(frames) == f"{own}:1"
