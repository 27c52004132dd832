from __future__ import annotations

from pathlib import Path

from deployables import in_runtime
from quantization_models import cnn, encoder

from mlopt.formats.onnx.file import open_onnx
from mlopt.tune.keeping import keep, kept


def test_what_is_kept_comes_back_as_it_was_and_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    first = in_runtime(open_onnx(cnn(tmp_path / "a.onnx")), threads=2)
    keep(in_runtime(open_onnx(encoder(tmp_path / "b.onnx"))), tmp_path / "study/best")
    keep(first, tmp_path / "study/best")
    back = kept(tmp_path / "study/best", first)
    assert back is not None
    assert back.identity == first.identity
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["best"]


def test_what_was_changed_or_is_not_there_is_nothing(tmp_path: Path) -> None:
    first = in_runtime(open_onnx(cnn(tmp_path / "a.onnx")))
    assert kept(tmp_path / "none", first) is None
    keep(first, tmp_path / "best")
    encoder(tmp_path / "best/model.onnx")
    assert kept(tmp_path / "best", first) is None
    (tmp_path / "best/how.json").write_text("{", encoding="utf-8")
    assert kept(tmp_path / "best", first) is None
