"""What every format may rely on: files copied under the names that they need, and a change that is noticed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.base import Format, check_same, copy_files
from mlopt.formats.model import Kind, Model

ODD = Kind("odd")


def model(folder: Path, *names: str) -> Model:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    files = tuple(folder / name for name in names)
    return Model(ODD, files[0], "d" * 64, (), (), files)


def test_only_the_main_file_gets_another_name(tmp_path: Path) -> None:
    source = model(tmp_path / "source", "net.odd", "net.odd.data", "deep/er/w.bin")
    main = copy_files(source, tmp_path / "out", "model.odd")
    copied = {str(file.relative_to(tmp_path / "out")): file.read_text() for file in (tmp_path / "out").rglob("*.*")}
    assert main == tmp_path / "out" / "model.odd"
    assert copied == {"model.odd": "net.odd", "net.odd.data": "net.odd.data", "deep/er/w.bin": "deep/er/w.bin"}
    assert source.path.read_text() == "net.odd"


def test_a_model_that_changed_after_it_was_measured_is_refused(tmp_path: Path) -> None:
    source = model(tmp_path, "net.odd")
    check_same(source, "d" * 64)
    with pytest.raises(ModelError, match="the model changed after it was measured") as caught:
        check_same(source, "e" * 64)
    assert caught.value.problems[0].where == str(source.path)


def test_a_format_of_the_least_can_be_shipped_and_cannot_change(tmp_path: Path) -> None:
    made = Format(ODD, "an odd", (".odd",), "model.odd", lambda path: model(path.parent, path.name))
    assert made.unshippable(made.open(tmp_path / "net.odd")) is None
    with pytest.raises(FrozenInstanceError):
        made.name = Kind("other")  # type: ignore[misc]
