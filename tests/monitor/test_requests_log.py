"""A log of requests and answers comes to the same sketches as the rows themselves; anything else is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sketched import PLAN, of, rows

from mlopt.core.errors import DataError
from mlopt.monitor.requests_log import sketched
from mlopt.protocol.messages import InferAnswer, write_answer, write_request

DIGEST = "d" * 64


def lines(path: Path, count: int, *, answers: bool = True) -> Path:
    inputs, outputs = rows(count)
    with path.open("w") as stream:
        for at in range(0, count, 3):
            asked = write_request({"x": inputs["x"][at : at + 3]}, binary=False)
            line = {"request": json.loads(asked.body)}
            if answers:
                told = write_answer(InferAnswer({"y": outputs["y"][at : at + 3]}, "m"))
                line["answer"] = json.loads(told.body)
            stream.write(json.dumps(line) + "\n\n")
    return path


def test_arrays_and_lines_are_what_the_rows_are(tmp_path: Path) -> None:
    inputs, outputs = rows(60)
    np.savez(tmp_path / "log.npz", **inputs, **outputs, other=np.zeros(3))
    expected = of(inputs, outputs, digest=DIGEST)
    assert sketched(tmp_path / "log.npz", PLAN, DIGEST) == expected
    assert sketched(lines(tmp_path / "log.jsonl", 60), PLAN, DIGEST) == expected


def test_answers_may_be_absent(tmp_path: Path) -> None:
    found = sketched(lines(tmp_path / "log.jsonl", 6, answers=False), PLAN, DIGEST)
    assert [one.rows for one in found.tensors] == [6, 0]


@pytest.mark.parametrize(("line", "what"), [
    ("{", "not JSON"), ("[]", "no request"), ('{"answer": {}}', "no request"), ('{"request": {}}', "no message"),
    ('{"request": {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": ["a"]}]}}', "no message"),
])  # fmt: skip
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "log.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=what) as caught:
        sketched(tmp_path / "log.jsonl", PLAN, DIGEST)
    assert "log.jsonl:2" in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        sketched(tmp_path / "log.npz", PLAN, DIGEST)
    np.savez(tmp_path / "log.npz", x=np.zeros((3, 5), np.float32), y=np.zeros((2, 3), np.float32))
    with pytest.raises(DataError, match="one entry for each row"):
        sketched(tmp_path / "log.npz", PLAN, DIGEST)
    np.savez(tmp_path / "log.npz", z=np.zeros(3))
    with pytest.raises(DataError, match="one entry for each row"):
        sketched(tmp_path / "log.npz", PLAN, DIGEST)
    with pytest.raises(DataError, match="cannot be read"):
        sketched(tmp_path / "absent.jsonl", PLAN, DIGEST)


def test_no_object_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "log.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        sketched(tmp_path / "log.npz", PLAN, DIGEST)
