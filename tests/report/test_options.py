"""Options in words: what differs from the runtime's defaults, whoever wrote the report."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tried_example import BF16, ORT, OV, tried_report

from mlopt.report.options import beyond_defaults, in_words
from mlopt.runtimes.table import BUILTIN


def words(runtime: str, options: dict[str, Any]) -> str:
    report = tried_report()
    return in_words(report.final.model_copy(update={"runtime": runtime, "options": options}), report)


@pytest.mark.parametrize(
    ("runtime", "options", "told"),
    [
        ("openvino", OV, "openvino"),
        ("openvino", BF16, "openvino bf16"),
        ("openvino", BF16 | {"threads": 1}, "openvino bf16, 1 thread"),
        ("openvino", BF16 | {"shapes": "static"}, "openvino bf16, static shapes"),
        ("openvino", OV | {"streams": 2, "hint": "throughput"}, "openvino throughput, 2 streams"),
        ("openvino", OV | {"pinning": True}, "openvino pinning"),
        ("onnxruntime", ORT | {"graph_optimization": "extended"}, "onnxruntime extended graph optimization"),
        ("onnxruntime", ORT | {"device": "cuda"}, "onnxruntime cuda"),
        ("elsewhere", {"threads": 2, "device": "cpu", "beams": 1, "lazy": False, "map": [1]},
         "elsewhere 1 beam, no lazy, map [1]"),
    ],
)  # fmt: skip
def test_what_is_told(runtime: str, options: dict[str, Any], told: str) -> None:
    assert words(runtime, options) == told


@pytest.mark.parametrize("runtime", BUILTIN, ids=lambda each: each.name)
def test_the_defaults_of_every_runtime_are_silent(runtime: Any) -> None:
    assert words(runtime.name, runtime.options(threads=2).model_dump(mode="json")) == runtime.name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5,
)  # fmt: skip


@given(st.dictionaries(st.text(), JSON, max_size=12), st.text())
def test_options_of_strangers_are_a_few_short_lines_of_text(options: dict[str, Any], runtime: str) -> None:
    report = tried_report()
    one = report.final.model_copy(update={"runtime": runtime, "options": options})
    told = beyond_defaults(one, report)
    assert len(told) <= 7
    assert all(len(each) <= 40 and "\n" not in each for each in told)
    assert len(in_words(one, report)) < 400
