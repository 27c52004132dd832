"""A run's folders: there while it runs and gone after it, in a cache that can be trusted, and clear where they fail."""

from __future__ import annotations

import errno
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlopt.core.cache import Store, default_root
from mlopt.core.errors import ModelError, OutputError
from mlopt.run.request import Request
from mlopt.run.start import silent, start

REQUEST = Request(source=Path("net.yaml"))


def test_the_scratch_folder_goes_and_the_cache_stays() -> None:
    with start(REQUEST, silent) as started:
        (started.scratch / "file").touch()
        assert started.store.root == default_root()
    assert not started.scratch.exists()
    assert default_root().is_dir()


def test_a_failure_leaves_no_scratch_folder() -> None:
    scratch: list[Path] = []

    def fail() -> None:
        with start(REQUEST, silent) as started:
            scratch.append(started.scratch)
            raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        fail()
    assert not scratch[0].exists()


def test_without_the_cache_nothing_is_kept() -> None:
    with start(Request(source=Path("net.yaml"), use_cache=False), silent) as started:
        assert started.store.root.is_relative_to(started.scratch)
    assert not default_root().exists()


def test_a_cache_that_others_can_write_to_is_not_used_and_this_is_said(caplog: pytest.LogCaptureFixture) -> None:
    default_root().mkdir(parents=True)
    default_root().chmod(0o777)
    with start(REQUEST, silent) as started:
        assert started.store.root.is_relative_to(started.scratch)
    assert "others can write to it" in caplog.text
    assert list(default_root().iterdir()) == []


def test_a_run_keeps_the_cleaning_of_others_away() -> None:
    with start(REQUEST, silent), pytest.raises(OutputError, match="a run is using the cache"):
        Store(default_root()).gc(0)
    assert Store(default_root()).gc(0) == (0, 0)


def test_it_knows_when_it_began() -> None:
    with start(REQUEST, silent) as started:
        begun = datetime.fromisoformat(started.begun)
    assert begun.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - begun) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "free some space; TMPDIR=DIR"), (errno.EDQUOT, "free some space; TMPDIR=DIR"),
        (errno.EACCES, "check its permissions"), (errno.EROFS, "check its permissions"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["model.onnx", None])
def test_what_the_system_refuses_is_one_clear_error(number: int, fix: str, file: str | None) -> None:
    with pytest.raises(OutputError) as caught, start(REQUEST, silent):
        raise OSError(number, os.strerror(number), file)
    (problem,) = caught.value.problems
    assert (problem.what, problem.where) == (os.strerror(number), file or tempfile.gettempdir())
    assert str(problem.fix).startswith(fix)


def test_any_other_error_of_the_system_is_not_hidden() -> None:
    with pytest.raises(IsADirectoryError), start(REQUEST, silent):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "x")


def test_temporary_files_that_have_no_place_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile._os, "mkdir", full)  # type: ignore[attr-defined]
    with pytest.raises(OutputError, match="TMPDIR=DIR puts temporary files elsewhere"), start(REQUEST, silent):
        pass
