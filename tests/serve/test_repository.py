"""Where artifacts may be loaded from: below a repository, wherever links lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopt.serve.faults import AnswerError
from mlopt.serve.repository import confined


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("repository/good", "repository/links", "outside/secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "repository/links/out").symlink_to(tmp_path / "outside/secret")
    (tmp_path / "repository/links/in").symlink_to(tmp_path / "repository/good")
    (tmp_path / "repository/file").touch()
    return tmp_path / "repository"


def test_a_place_inside_by_any_way_of_writing_it(repository: Path) -> None:
    good = (repository / "good").resolve()
    for path in (str(good), "good", "links/in", f"{good}/../good/."):
        assert confined(path, [repository.parent / "outside/secret", repository]) == good


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../outside/secret", 403), ("links/out", 403), ("links/out/..", 403), ("/etc", 403), (".", 403), ("none", 403),
        ("file", 403), ("", 400), (7, 400), (None, 400), ("a\0b", 400),
    ],
)  # fmt: skip
def test_anything_else_is_refused(repository: Path, path: Any, status: int) -> None:
    with pytest.raises(AnswerError) as caught:
        confined(path, [repository])
    assert caught.value.status == status


def test_without_a_repository_nothing_is_loaded(repository: Path) -> None:
    with pytest.raises(AnswerError, match="--repository") as caught:
        confined(str(repository / "good"), [])
    assert caught.value.status == 403


def test_a_repository_that_is_a_link_is_where_it_leads(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(repository)
    assert confined("good", [tmp_path / "alias"]) == (repository / "good").resolve()
