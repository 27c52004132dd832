"""The reader of the ground plan finds what it is there to find, in a small made-up package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ground_plan
import pytest

ORDER = (("api", "cli"), ("bench", "tune"), ("run",), ("core",))
Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a package ``made`` of the named modules; every folder is a package."""

    def package(files: dict[str, str]) -> Path:
        root = tmp_path / "made"
        for name, text in {"__init__": "", **files}.items():
            file = root / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(text)
        return root

    return package


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import made.core.a", {"made.core.a"}),
        ("from made.core import a", {"made.core", "made.core.a"}),
        ("from made.core.a import name", {"made.core.a"}),
        ("from made.core import name", {"made.core"}),
        ("from made import core", {"made.core"}),
        ("from ..core import a", {"made.core", "made.core.a"}),
        ("from . import other", {"made.run.other"}),
        ("from .other import name", {"made.run.other"}),
        ("def f():\n    from made.core import a\n", {"made.core", "made.core.a"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import made.core.a\n", {"made.core.a"}),
        ("from made import __version__", set()),
        ("import os.path, madeup.core.a", set()),
    ],
)
def test_every_kind_of_import_is_seen(write: Write, text: str, found: set[str]) -> None:
    seen = ground_plan.imports(write({"core/a": "", "run/other": "", "run/it": text}))
    assert seen["made.run.it"] == found


def test_the_imports_of_a_folder_itself_are_seen(write: Write) -> None:
    seen = ground_plan.imports(write({"run/other": "", "run/__init__": "from .other import x\nimport made.run"}))
    assert seen["made.run"] == {"made.run.other"}


def test_a_circle_is_found_though_one_import_is_lazy_and_one_type_only(write: Write) -> None:
    package = write(
        {
            "core/a": "def f():\n    import made.core.b\n",
            "core/b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.core import c\n",
            "core/c": "from made.core.a import f\nimport made.core.d",
            "core/d": "",
        }
    )
    plan = ground_plan.imports(package)
    assert ground_plan.circles(plan) == [["made.core.a", "made.core.b", "made.core.c"]]
    with pytest.raises(ValueError, match=r"import each other: \[\['made.core.a'"):
        ground_plan.longest_path(plan)


def test_two_circles_are_two(write: Write) -> None:
    package = write({
        "core/a": "import made.core.b", "core/b": "import made.core.a\nimport made.core.c",
        "core/c": "import made.core.d", "core/d": "import made.core.c",
    })  # fmt: skip
    assert ground_plan.circles(ground_plan.imports(package)) == [
        ["made.core.a", "made.core.b"], ["made.core.c", "made.core.d"]
    ]  # fmt: skip


def test_the_longest_path_is_found_beside_shorter_ones(write: Write) -> None:
    package = write({
        "api": "import made.run.it\nimport made.core.a", "run/it": "import made.core.b\nimport made.core.a",
        "core/b": "def f():\n    import made.core.a\n", "core/a": "",
    })  # fmt: skip
    plan = ground_plan.imports(package)
    assert ground_plan.circles(plan) == []
    assert ground_plan.longest_path(plan) == ["made.api", "made.run.it", "made.core.b", "made.core.a"]


@pytest.mark.parametrize(
    ("module", "text", "wrong"),
    [
        ("core/a", "import made.run.it", ["made.core.a imports made.run.it: run does not lie below core"]),
        ("core/a", "def f():\n    import made.api\n", ["made.core.a imports made.api: api does not lie below core"]),
        ("bench/a", "import made.tune.b", ["made.bench.a imports made.tune.b: tune does not lie below bench"]),
        ("cli/a", "import made.api", ["made.cli.a imports made.api: api does not lie below cli"]),
        ("core/a", "import made.__main__", ["made.core.a imports made.__main__: __main__ does not lie below core"]),
        (
            "attic/a",
            "",
            ["made.attic: attic has no place in the order", "made.attic.a: attic has no place in the order"],
        ),
        ("run/a", "import made.core\nimport made.run.it", []),
        ("bench/a", "import made.run.it\nimport made.core.b", []),
    ],
)
def test_an_import_against_the_order_is_named(write: Write, module: str, text: str, wrong: list[str]) -> None:
    files = {"api": "import made.run.it", "__main__": "import made.api", "tune/b": "", "run/it": "", "core/b": ""}
    plan = ground_plan.imports(write(files | {module: text}))
    assert ground_plan.against_the_order(plan, ORDER) == wrong


def test_top_files_and_functions_are_measured(write: Write) -> None:
    package = write({"api": "def f():\n    def g():\n        pass\n    return g\n", "core/a": "async def h(): ...\n"})
    assert ground_plan.top_files(package) == ["__init__.py", "api.py"]
    assert ground_plan.function_lengths(package) == [1, 2, 4]
