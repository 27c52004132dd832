"""Shared by all tests: golden files, a cache and key folder that belong to the test run alone, and ``--quick``.

A test that starts a child process is marked ``process``, or fails: so ``--quick`` can leave those out that take long.
"""

from __future__ import annotations

import multiprocessing.util
import os
import platform
import shutil
import subprocess
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from warm_workers import Nursery, read_operators_once

from mlopt.core import nursery as product

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # two test processes on two cores: PyTorch's threads would wait for each other
STARTERS = ("process", "slow", "gpu", "rtx")
NOT_QUICK = (*STARTERS, "heavy")
NO_OPENVINO = "openvino is not installed"
"""Why ``openvino_models.needed`` skips a test."""
GOLDENS = Path(__file__).parent / "goldens"
NOT_READ = tuple(Path(__file__).parent / name for name in ("e2e", "fuzz", "hostile"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the golden files instead of comparing")
    parser.addoption("--quick", action="store_true", help=f"without the tests that are marked {', '.join(NOT_QUICK)}")


def pytest_configure(config: pytest.Config) -> None:
    """Between two edits, a quarter of the examples of property tests that do not say how many they take."""
    if config.getoption("--quick"):
        settings.register_profile("quick", max_examples=25)
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave folders unread of which all tests would be left out."""
    return True if config.getoption("--quick") and collection_path in NOT_READ else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is skipped without OpenVINO is chosen by ``-m openvino`` where it is installed."""
    if any(mark.kwargs.get("reason") == NO_OPENVINO for mark in item.iter_markers("skipif")):
        item.add_marker("openvino")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in NOT_QUICK)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


STARTS = (
    (subprocess.Popen, "__init__"), (multiprocessing.util, "spawnv_passfds"),
    *((os, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")),
)  # fmt: skip
"""Every way to start a child from Python."""


@pytest.fixture(scope="session", autouse=True)
def starts_are_watched() -> Iterator[None]:
    """What is shared by several tests starts its children for the one that asks first, hence the whole session."""
    platform.platform()  # asks `uname -p` once, and then knows
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STARTS:
            patch.setattr(owner, name, _watched(getattr(owner, name)))
        yield


def _watched(start: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        if _running and not any(_running[-1].get_closest_marker(mark) for mark in STARTERS):
            pytest.fail(f"{_running[-1].nodeid} starts a child process: mark it process (@pytest.mark.process)")
        return start(*args, **kwargs)

    return watched


_running: list[pytest.Item] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


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


def _only_where_cold(
    opened: Callable[..., AbstractContextManager[None]],
) -> Callable[..., AbstractContextManager[None]]:
    """Tests have a nursery of their own, which has imported PyTorch, too."""

    def chosen(modules: Sequence[str]) -> AbstractContextManager[None]:
        cold = _running and _running[-1].get_closest_marker("cold")
        return opened(modules) if cold else nullcontext()

    return chosen


@pytest.fixture(scope="session", autouse=True)
def workers_start_warm(starts_are_watched: None) -> Iterator[None]:
    nursery = Nursery()

    def start(command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        cold = _running and _running[-1].get_closest_marker("cold")
        return subprocess.Popen(command, **how) if cold else nursery.popen(command, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlopt.core.nursery.opened", _only_where_cold(product.opened))
        patch.setattr(
            "mlopt.core.worker.subprocess", types.SimpleNamespace(**{**vars(subprocess), "Popen": _watched(start)})
        )
        yield
    nursery.close()


@pytest.fixture(autouse=True)
def operators_are_read_once() -> None:
    read_operators_once()


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
