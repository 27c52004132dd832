"""Shared by all tests: golden files and a cache and key folder that belong to the test run alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # two test processes on two cores: PyTorch's threads would wait for each other
GOLDENS = Path(__file__).parent / "goldens"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """Each process of a test run has a temporary folder of its own.

    In a shared one, runs of ``mlopt`` wait for each other: of a user's processes, one measures at a time.
    """
    before = os.environ.get("TMPDIR")
    folder = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="mlopt-tests-")
    tempfile.tempdir = None
    yield
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or keys."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MLOPT_CACHE", str(home / "cache"))
    monkeypatch.setenv("MLOPT_CONFIG", str(home / "config"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)``: ``text`` must equal ``tests/goldens/<name>``."""

    def check(name: str, text: str) -> None:
        file = GOLDENS / name
        if request.config.getoption("--update-goldens"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"no golden file {file}: run pytest --update-goldens and read what it writes"
        assert text == file.read_text(encoding="utf-8")

    return check
