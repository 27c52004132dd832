"""How this copy of mlopt came here, as installers note it, and what is told to those who lack an extra."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mlopt
from mlopt.core import distribution, packages
from mlopt.core.distribution import DISTRIBUTION, brought_by, namesake, origin

WANTED = (
    "numpy>=2.0", "onnxruntime<1.33,>=1.24; extra == 'cpu'", "torch<2.14,>=2.10; extra == 'torch'",
    f"{DISTRIBUTION}[cpu,torch]; extra == 'quant'", "torchao; extra == 'quant'",
)  # fmt: skip
Install = Callable[..., None]


def info(site: Path, name: str, noted: Any, wanted: tuple[str, ...] = ()) -> None:
    """Leave what an installer leaves of a distribution."""
    folder = site / f"{name.replace('-', '_')}-0.1.dist-info"
    folder.mkdir(parents=True)
    lines = [f"Requires-Dist: {each}" for each in wanted]
    (folder / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 0.1", *lines]) + "\n"
    )
    if noted is not None:
        (folder / "direct_url.json").write_text(json.dumps(noted))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(noted, wanted, root=...)``: a copy that runs in ``root``, and what its installer noted."""
    forget()

    def put(noted: Any, wanted: tuple[str, ...] = WANTED, root: Path = tmp_path / "site") -> None:
        info(tmp_path / "site", DISTRIBUTION, noted, wanted)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.setattr(distribution, "_PACKAGE", root / "mlopt")

    yield put
    forget()


def forget() -> None:
    origin.cache_clear()
    packages.install_command.cache_clear()


@pytest.mark.parametrize(
    ("noted", "command"),
    [
        ({"url": "https://host/mlopt.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
         f'pip install "{DISTRIBUTION}[cpu] @ git+https://host/mlopt.git"'),
        ({"url": "file:///srv/mlopt.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
         f'pip install "{DISTRIBUTION}[cpu] @ git+file://localhost/srv/mlopt.git"'),
        ({"url": "https://host/m.git", "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "ab12"},
          "subdirectory": "py"}, f'pip install "{DISTRIBUTION}[cpu] @ git+https://host/m.git@v1#subdirectory=py"'),
        ({"url": "https://host/mlopt_cli-0.1-py3-none-any.whl", "archive_info": {}},
         f'pip install "{DISTRIBUTION}[cpu] @ https://host/mlopt_cli-0.1-py3-none-any.whl"'),
        ({"url": "file:///no/such/mlopt_cli-0.1-py3-none-any.whl", "archive_info": {}},
         'pip install "onnxruntime<1.33,>=1.24"'),
        ({"url": "file:///no/such/folder", "dir_info": {}}, 'pip install "onnxruntime<1.33,>=1.24"'),
        (None, 'pip install "onnxruntime<1.33,>=1.24"'),
    ],
)  # fmt: skip
def test_an_extra_comes_from_where_this_copy_came(install: Install, noted: Any, command: str) -> None:
    install(noted)
    assert packages.install_command("cpu") == command


@pytest.mark.parametrize("name", ["plain", "a b", "50$"])
def test_of_a_checkout_it_is_the_checkout(install: Install, tmp_path: Path, name: str) -> None:
    checkout = tmp_path / name
    checkout.mkdir()
    install({"url": checkout.as_uri(), "dir_info": {"editable": True}}, root=checkout)
    words = shlex.split(packages.install_command("cpu"))
    assert words == ["pip", "install", "-e", f"{checkout}[cpu]"]
    assert shlex.split(packages.reinstall_command())[-2:] == ["-e", str(checkout)]


def test_of_a_folder_or_a_wheel_that_is_still_there_it_is_that(install: Install, tmp_path: Path) -> None:
    install({"url": tmp_path.as_uri(), "dir_info": {}})
    assert packages.install_command("cpu") == f'pip install "{tmp_path}[cpu]"'


def test_a_wheel_that_is_still_there_is_named(install: Install, tmp_path: Path) -> None:
    wheel = tmp_path / "mlopt_cli-0.1-py3-none-any.whl"
    wheel.touch()
    install({"url": wheel.as_uri(), "archive_info": {}})
    assert packages.install_command("cpu") == f'pip install "{DISTRIBUTION}[cpu] @ {wheel.as_uri()}"'
    assert packages.reinstall_command().endswith(f'"{DISTRIBUTION} @ {wheel.as_uri()}"')


def test_what_was_noted_of_another_copy_says_nothing_of_this_one(install: Install, tmp_path: Path) -> None:
    install({"url": (tmp_path / "other").as_uri(), "dir_info": {"editable": True}}, root=tmp_path / "here")
    assert origin() is None
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "pyproject.toml").write_text(f'[project]\nname = "{DISTRIBUTION}"\n')
    origin.cache_clear()
    assert origin() == f'-e "{tmp_path / "here"}[{{extra}}]"'


@pytest.mark.parametrize("project", ["", "[project\n", '[project]\nname = "another"\n'])
def test_without_any_trace_it_is_a_sentence_that_names_no_index(install: Install, tmp_path: Path, project: str) -> None:
    install(None, ())
    (tmp_path / "site" / "pyproject.toml").write_text(project)
    assert packages.install_command("cpu").startswith(f"install {DISTRIBUTION} with its extra `cpu`")
    assert packages.reinstall_command().startswith(f"install {DISTRIBUTION} again")


def test_extras_of_extras_are_written_out() -> None:
    assert brought_by("quant", WANTED) == ("onnxruntime<1.33,>=1.24", "torch<2.14,>=2.10", "torchao")
    assert brought_by("no-such", WANTED) == ()


def test_the_name_is_that_of_the_project_and_of_all_its_extras() -> None:
    file = Path(mlopt.__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    own = [each for lines in project["optional-dependencies"].values() for each in lines if each.startswith("mlopt")]
    assert own
    assert all(each.startswith(f"{DISTRIBUTION}[") for each in own)


def test_a_distribution_of_the_other_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info(tmp_path / "site", "mlopt", None)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert namesake() == "0.1"
