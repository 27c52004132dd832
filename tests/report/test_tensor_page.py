"""What `mlopt compare` found: in one sentence, in a table, as JSON and as a page that loads nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mlopt.formats.model import ONNX, Model
from mlopt.report.tensor_page import (
    COLUMNS,
    OUTPUT_COLUMNS,
    PageContent,
    cells,
    coverage,
    document,
    headline,
    output_cells,
    outputs_headline,
    picture,
    render,
)
from mlopt.tensors import TensorComparison, TensorDifference
from mlopt.tensors.outputs import OutputComparison, OutputDifference


def difference(name: str, db: float | None, *reads: str, **changes: object) -> TensorDifference:
    plain = TensorDifference(
        name, f"node {name}", "Conv", name, db, db, cosine=0.9, max_abs=1.0, max_rel=0.1, broken=0, is_output=False,
        reads=reads,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def content(*differences: TensorDifference, samples: int = 4) -> PageContent:
    a, b = (Model(ONNX, Path(name), name * 64, (), (), ()) for name in "ab")
    return PageContent(a, b, "data.npz", 10.0, TensorComparison(differences, 9, samples, ("a note",)))


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([difference("t", None)], "all compared tensors are equal"),
        ([difference("t", 30.0), difference("u", 20.0, "t")], "no tensor is below 10 dB: the worst is node 'node u'"),
        ([difference("t", None), difference("u", 2.0, "t")], "at 'u': 2.0 dB, and what it is computed from is exact"),
        ([difference("t", 40.0), difference("u", 2.0, "t")], "2.0 dB, and what it is computed from has 40.0 dB"),
        ([difference("t", 13.0), difference("u", 9.0, "t")], "no node is at fault by itself: the error builds up"),
        ([difference("t", 50.0, broken=1234)], "1,234 values are NaN or infinite in only one of the two"),
        ([difference("t", 40.0, channel_db=1.0)], "1.0 dB in its median channel (40.0 dB over all)"),
    ],
)
def test_the_result_is_one_sentence(differences: list[TensorDifference], said: str) -> None:
    text = headline(content(*differences))
    assert said.removeprefix("at 'u': ") in text
    assert "\n" not in text


def test_the_json_has_null_where_there_is_no_finite_number() -> None:
    found = document(content(difference("t", None, max_rel=float("inf")), difference("u", 2.0, "t")))
    json.dumps(found, allow_nan=False)
    assert (found["first_divergence"], found["differences"][0]["max_rel"]) == ("u", None)
    assert (found["compared"], found["tensors"], found["notes"]) == (2, 9, ["a note"])


def test_a_row_has_a_cell_for_each_column() -> None:
    row = cells(difference("t", None, is_output=True, broken=2))
    assert len(row) == len(COLUMNS)
    assert row[2:4] == ("t (output)", "equal")
    assert row[-2] == "NaN or inf"


def answered(a: str = "onnxruntime", b: str = "openvino bf16", name: str = "y") -> OutputComparison:
    one = OutputDifference(name, name, 41.2, None, cosine=0.99996, max_abs=0.01, max_rel=float("inf"), broken=0)
    return OutputComparison(a, b, (one,), ("a note on outputs",))


def test_outputs_of_another_runtime_stand_apart_and_the_sentence_on_tensors_says_where_they_are_from() -> None:
    found = replace(content(difference("t", None)), outputs=answered())
    assert headline(found) == "all compared tensors are equal, in onnxruntime"
    assert outputs_headline(answered()) == "outputs, the reference in onnxruntime and the other in openvino bf16:"
    assert outputs_headline(answered("x", "x")) == "outputs, both in x:"
    row = output_cells(answered().differences[0])
    assert dict(zip(OUTPUT_COLUMNS, row, strict=True)) == {
        "output": "y", "SQNR dB": "41.2", "channel dB": "equal", "cosine": "0.99996", "max abs": "0.01",
        "max rel": "inf",
    }  # fmt: skip


def test_outputs_are_in_the_json_and_on_the_page() -> None:
    found = replace(content(difference("t", None)), outputs=answered(name="<b>y</b>"))
    written = json.loads(json.dumps(document(found), allow_nan=False))["outputs"]
    assert (written["a"], written["b"], written["notes"]) == ("onnxruntime", "openvino bf16", ["a note on outputs"])
    assert (written["differences"][0]["sqnr_db"], written["differences"][0]["max_rel"]) == (41.2, None)
    assert document(content(difference("t", None)))["outputs"] is None
    page = render(found)
    assert "Outputs, the reference in onnxruntime and the other in openvino bf16:" in page
    assert "&lt;b&gt;y&lt;/b&gt;" in page
    assert "a note on outputs" in page
    assert "<h2>Outputs</h2>" not in render(content(difference("t", None)))


def test_what_was_compared_is_counted() -> None:
    assert coverage(content(difference("t", 9.0), samples=1)) == "compared 1 of 9 tensors on 1 sample (data.npz)"


@pytest.mark.parametrize("level", [None, -1e300, 1e300, 9.99])
def test_any_ratio_can_be_drawn(level: float | None) -> None:
    drawn = picture(content(difference("t", level), difference("u", 20.0, "t", broken=1)))
    assert ET.fromstring(drawn.svg).attrib["aria-label"] == drawn.title


def test_the_page_loads_nothing_and_names_stay_text() -> None:
    page = render(content(difference("<script>alert(1)</script>\x1b", 2.0)))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page
    assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page) == []
