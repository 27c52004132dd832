"""What is installed over each other, or in another version than mlopt is made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.core.distribution import requirements
from mlopt.core.installation import Clash, OutOfRange, clashes, in_place_of, modules, out_of_range

ORT = ("onnxruntime", "onnxruntime-gpu")


def installed(folder: Path, name: str, version: str, module: str) -> None:
    """Leave what an installer leaves of a distribution."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(f"{module}\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which Python imports, too."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"onnxruntime": ["onnxruntime"]}, []),
        ({"onnxruntime": ["onnxruntime_GPU"]}, []),
        ({"onnxruntime": ["onnxruntime", "onnxruntime"]}, []),
        ({"onnxruntime": ["onnxruntime-gpu", "onnxruntime"]}, [ORT]),
        ({"onnxruntime": ["onnxruntime-openvino"]}, [("onnxruntime-openvino",)]),
        ({"onnxruntime": ["onnxruntime"], "onnxruntime_genai": ["a", "b"]}, []),
    ],
)
def test_a_module_is_one_distributions_that_mlopt_knows(
    given: dict[str, list[str]], found: list[tuple[str, ...]]
) -> None:
    assert list(clashes(["onnxruntime"], given)) == [Clash("onnxruntime", names) for names in found]


def test_what_is_installed_over_another_is_found(place: Path) -> None:
    assert list(clashes(["onnxruntime", "some-toy"], modules())) == []
    installed(place, "some-toy", "1.0", "some_toy")
    installed(place, "some-toy-dev", "0.9", "some_toy")
    assert list(clashes(["some-toy"], modules())) == [Clash("some_toy", ("some-toy", "some-toy-dev"))]


@pytest.mark.parametrize(
    ("requirement", "wanted"),
    [
        ("some-toy>=1,<2", None),
        ("Some_Toy==1.4", None),
        ("some-toy>=1.5,<2", ">=1.5,<2"),
        ("some-toy<1; extra == 'cpu'", "<1"),
        ("some-toy<1; extra == 'dev'", None),
        ("some-toy<1; python_version < '3'", None),
        ("another-toy<1", None),
    ],
)
def test_a_version_is_held_against_what_applies_here(place: Path, requirement: str, wanted: str | None) -> None:
    installed(place, "some-toy", "1.4+cpu" if "==" not in requirement else "1.4", "some_toy")
    found = list(out_of_range([requirement, requirement], ["cpu"]))
    assert [(one.name, one.wanted) for one in found] == ([("some-toy", wanted)] if wanted else [])
    assert all(isinstance(one, OutOfRange) for one in found)


def test_mlopts_own_requirements_hold_where_its_tests_run() -> None:
    wanted = requirements()
    assert any(each.startswith("numpy") for each in wanted)
    assert list(out_of_range(wanted, ["cpu"])) == []


def test_after_a_removal_comes_a_command_or_a_sentence() -> None:
    assert in_place_of(["a", "b"], "pip install c") == "pip uninstall -y a b && pip install c"
    assert in_place_of(["a"], "install c again") == "pip uninstall -y a, then install c again"
