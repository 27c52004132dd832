"""Where an artifact is changed: nothing of what is not finished lies inside it, and leftovers go with the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.artifact import workspace as places
from mlopt.artifact.workspace import changing, inside, new_folder, put, workspace


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "old").write_bytes(b"old")
    return tmp_path / "digits"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_lies_beside_its_target_and_goes_whatever_happens(target: Path) -> None:
    def fail() -> None:
        with workspace(target) as work:
            assert work.parent == target.parent
            assert work.name.startswith(".digits.mlopt-")
            (work / "deep").mkdir()
            (work / "deep" / "file").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(target.parent) == ["digits"]


def test_what_is_put_takes_the_place_of_all_that_was_there(target: Path) -> None:
    with workspace(target) as work:
        (new_folder(work) / "new").write_bytes(b"new")
        put(work, target)
    assert names(target) == ["new"]
    with workspace(target.with_name("first")) as work:
        (new_folder(work) / "new").touch()
        put(work, target.with_name("first"))
    assert names(target.with_name("first")) == ["new"]


def test_a_system_without_an_exchange_of_folders_comes_to_the_same(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_exchanged", lambda *_: False)
    test_what_is_put_takes_the_place_of_all_that_was_there(target)


def test_leftovers_with_the_mark_are_cleared_and_others_stay(target: Path) -> None:
    marked, foreign = (target.parent / f".digits.mlopt-{name}" for name in ("marked", "foreign"))
    for folder in (marked, foreign):
        folder.mkdir()
        (folder / "half.onnx").touch()
    (marked / "mlopt-workspace").touch()
    (target.parent / ".digits.mlopt-empty").mkdir()
    with workspace(target):
        pass
    assert names(target.parent) == [foreign.name, "digits"]


def test_a_file_is_told_by_the_name_that_it_will_have(target: Path) -> None:
    with workspace(target) as work:
        assert inside(target, new_folder(work) / "raw" / "a.json") == "raw/a.json"
    assert inside(target, Path("/elsewhere/a.json")) == "/elsewhere/a.json"


@pytest.mark.parametrize("writable", [True, False])
def test_a_file_is_changed_whole_also_where_the_folder_above_is_closed(
    target: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    if not writable:

        def refuse(_: Path) -> None:
            raise PermissionError

        monkeypatch.setattr(places, "workspace", refuse)
    with changing(target) as write:
        write("old", b"changed")
        write("more", b"more")
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"old": b"changed", "more": b"more"}
    assert not [name for name in names(target.parent) if "mlopt-" in name]
