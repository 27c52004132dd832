"""What a file says that it is fixed to: read back as it was written, and not believed where it makes no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from branching import written

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.onnx.fixed import KEY, write_fixed

TEXT = "g (float[2] x, float[2] w, int64 k) => (float[2] y) { y = Add(x, w) }"


def saying(path: Path, text: str) -> Path:
    proto = onnx.load(written(path, TEXT).path)
    proto.metadata_props.add(key=KEY, value=text)
    onnx.save(proto, path)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    proto = onnx.load(written(tmp_path / "m.onnx", TEXT).path)
    proto.metadata_props.add(key="other", value="stays")
    for values in ({"k": 1}, {"k": 2, "w": (0.1, -3.0)}):  # the second takes the place of the first
        write_fixed(proto, {"batch": 2}, values)
        onnx.save(proto, tmp_path / "m.onnx")
        made = open_onnx(tmp_path / "m.onnx")
        assert (made.sizes, made.fixed) == ((("batch", 2),), values)
    assert [entry.key for entry in proto.metadata_props] == ["other", KEY]


def test_a_file_that_says_nothing_is_fixed_to_nothing(tmp_path: Path) -> None:
    made = written(tmp_path / "m.onnx", TEXT)
    assert (made.sizes, made.fixed) == ((), {})


@pytest.mark.parametrize(
    "said",
    [
        "", "{", "[]", "1", "null", "{}", '{"dims": {}}', '{"dims": [], "inputs": {}}', '{"dims": {}, "inputs": []}',
        '{"dims": {"n": 0}, "inputs": {}}', '{"dims": {"n": "1"}, "inputs": {}}', '{"dims": {"n": true}, "inputs": {}}',
        '{"dims": {"n": 1e3}, "inputs": {}}', '{"dims": {}, "inputs": {"nobody": 1}}',
        '{"dims": {}, "inputs": {"k": "1"}}', '{"dims": {}, "inputs": {"k": {}}}',
        '{"dims": {}, "inputs": {"k": null}}', '{"dims": {}, "inputs": {"k": NaN}}',
        '{"dims": {}, "inputs": {"w": [1]}}',
        '{"dims": {}, "inputs": {"w": [1, Infinity]}}',
        '{"dims": {}, "inputs": {"k": ' + "[" * 100000 + "]" * 100000 + "}}",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_no_model(said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="what the file says it is fixed to makes no sense"):
        open_onnx(saying(tmp_path / "m.onnx", said))


@pytest.mark.parametrize("value", [3, 2**62])
def test_whole_numbers_are_read_exactly(value: int, tmp_path: Path) -> None:
    said: dict[str, Any] = {"dims": {}, "inputs": {"k": value}}
    assert open_onnx(saying(tmp_path / "m.onnx", json.dumps(said))).fixed == {"k": value}
