"""How models of a kind are opened, copied into an artifact, and looked into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bench_models import dense

from mlopt.core.errors import ModelError
from mlopt.formats import table as formats
from mlopt.formats.base import Format
from mlopt.formats.model import ONNX, TORCH, Kind, Model, TensorSpec, digest_files

ODD = Kind("odd")


def opened(path: Path) -> Model:
    """A file and what lies beside it under its name and a number."""
    files = (path, *sorted(path.parent.glob("part.*")))
    spec = (TensorSpec("x", "float32", (1,)),)
    return Model(ODD, path, digest_files(files, path.parent) if path.exists() else "", spec, spec, files)


FORMAT = Format(ODD, "an odd", (".odd",), "model.odd", opened, beside=("part.*",))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[Format], None]:
    """Make a format known, as another package does."""

    def add(format_: Format) -> None:
        every = {**{each.name: each for each in formats.BUILTIN}, ODD: format_}
        monkeypatch.setattr(formats, "table", lambda: every)

    add(FORMAT)
    return add


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "source").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("model.odd", "part.1"):
        (tmp_path / "source" / name).write_text(name)
    return opened(tmp_path / "source" / "model.odd")


@pytest.mark.parametrize(("name", "kind"), [("m.onnx", ONNX), ("m.pt2", TORCH), ("m.odd", ODD), ("a.b.onnx", ONNX)])
@pytest.mark.usefixtures("known")
def test_a_suffix_tells_the_format(name: str, kind: Kind) -> None:
    found = formats.format_for(Path(name))
    assert found is not None
    assert found.name == kind


def test_a_suffix_that_nobody_knows_is_taken_for_onnx_only_where_a_model_must_be(tmp_path: Path) -> None:
    assert formats.format_for(Path("m.odd")) is None
    assert formats.given(dense(tmp_path / "model.bin", width=4)).kind == ONNX


def test_a_kind_that_nobody_knows_is_told_with_those_there_are() -> None:
    with pytest.raises(ModelError, match=r"(?s)no installed package knows this kind.*onnx, tensorrt, torch") as caught:
        formats.format_of(ODD)
    assert "mlopt.formats" in str(caught.value)


@pytest.mark.usefixtures("known")
def test_every_file_is_copied_that_the_format_declares(model: Model, tmp_path: Path) -> None:
    copy = formats.copied(model, tmp_path / "out", lambda name: True)
    assert [file.name for file in copy.files] == ["model.odd", "part.1"]
    assert (copy.digest, copy.path) == (model.digest, tmp_path / "out" / "model.odd")


@pytest.mark.parametrize(("beside", "allowed"), [((), True), (("*",), False)])
def test_a_file_that_it_does_not_declare_or_an_artifact_cannot_hold_is_refused(
    known: Callable[[Format], None], model: Model, tmp_path: Path, beside: tuple[str, ...], allowed: bool
) -> None:
    known(replace(FORMAT, beside=beside))
    with pytest.raises(ModelError, match=r"(?s)puts other files into an artifact than it declares.*part\.1"):
        formats.copied(model, tmp_path / "out", lambda name: allowed)


@pytest.mark.usefixtures("known")
def test_a_model_that_changed_is_not_copied(model: Model, tmp_path: Path) -> None:
    (tmp_path / "source" / "part.1").write_text("other")
    with pytest.raises(ModelError, match="changed after it was measured"):
        formats.copied(model, tmp_path / "out", lambda name: True)
    assert formats.digest_now(model) != model.digest


def test_a_model_that_cannot_be_shipped_says_why(known: Callable[[Format], None], model: Model, tmp_path: Path) -> None:
    known(replace(FORMAT, unshippable=lambda _model: "it is made of thin air"))
    with pytest.raises(ModelError, match="the result cannot go into an artifact: it is made of thin air"):
        formats.copied(model, tmp_path / "out", lambda name: True)


@pytest.mark.usefixtures("known")
def test_a_kind_without_a_graph_view_says_so_by_name(model: Model) -> None:
    assert not formats.has_graph(ODD)
    with pytest.raises(ModelError, match="kind odd has no graph view"):
        formats.graph_of(model)


def test_what_a_recipe_declares_goes_to_formats_that_do_not_know_it(
    known: Callable[[Format], None], model: Model
) -> None:
    declared = (TensorSpec("a", "int64", (2,)),)
    known(replace(FORMAT, open_declared=lambda path, inputs, outputs: replace(opened(path), inputs=inputs)))
    assert formats.opened(ODD, model.path, None, declared).inputs == declared
    assert formats.opened(ODD, model.path, None).inputs == model.inputs
