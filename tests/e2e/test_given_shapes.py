"""``--shape`` from the command line to the runtime: a model of dynamic sizes is measured and compared at those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from openvino_models import FLOAT, graph

from mlopt.cli.app import run

pytestmark = pytest.mark.process


def dynamic(path: Path, off: float = 0.0) -> Path:
    """``x [batch, length, 8]``, multiplied, off by so much for each step, and reshaped to rows of 24 values.

    So a length is a multiple of three, and how far two such models are apart tells it.
    """
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["h"], name="product"),
        node("Shape", ["x"], ["sizes"], start=1, end=2),
        node("Cast", ["sizes"], ["steps"], to=FLOAT),
        node("Mul", ["steps", "off"], ["far"]),
        node("Add", ["h", "far"], ["moved"]),
        node("Reshape", ["moved", "rows"], ["y"], name="rows"),
    ]
    held = {"w": np.eye(8, dtype=np.float32), "rows": np.array([0, -1, 24]), "off": np.float32(off).reshape(1)}
    return graph(path, nodes, {"x": (FLOAT, ["batch", "length", 8])}, {"y": FLOAT}, **held).path


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [str(dynamic(tmp_path / "a.onnx")), str(dynamic(tmp_path / "b.onnx", 0.5))]


def found(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run([*words, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_bench_measures_at_the_shape_that_is_given(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    briefly = ["--time", "0.1", "--threads", "1"]
    report = found(capsys, "bench", *pair, "--shape", "x=1,240,8", *briefly)
    assert report["final"]["macs"] == 240 * 8 * 8
    assert report["final"]["latency_ms"]["n"] > 0


def test_compare_runs_at_the_shape_that_is_given(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for length in (24, 240):
        report = found(capsys, "compare", *pair, "--shape", f"x=1,{length},8")
        (output,) = [each for each in report["differences"] if each["tensor"] == "y"]
        assert output["max_abs"] == pytest.approx(0.5 * length, rel=1e-5)


@pytest.mark.parametrize("verb", ["bench", "compare"])
@pytest.mark.parametrize(
    ("shape", "told"), [("x=1,5,8", "Reshape"), ("x=1,24,9", "another shape"), ("z=1,24,8", "no such input")]
)
def test_a_shape_that_the_model_does_not_take_is_one_error(
    verb: str, shape: str, told: str, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, *pair, "--shape", shape]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert (shown.out == "") == (verb == "compare" or told != "Reshape"), ()
