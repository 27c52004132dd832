"""What a shell completes, and that it is asked for it where the options are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlopt.cli import completion
from mlopt.gate.vocabulary import METRICS
from mlopt.passes.table import table
from mlopt.recipe.overrides import apply
from mlopt.recipe.yaml_reader import read_text


def test_passes_come_with_what_they_do() -> None:
    assert completion.passes("quant") == [("quantize", table()["quantize"].summary)]
    assert {name for name, _ in completion.passes("")} == set(table())


@pytest.mark.parametrize(
    ("begun", "found"),
    [("onn", ["onnxruntime"]), ("au", ["auto"]), ("openvino,onn", ["openvino,onnxruntime"]), ("onnxruntime,on", [])],
)
def test_runtimes_are_completed_after_a_comma_too(begun: str, found: list[str]) -> None:
    assert completion.runtimes(begun) == found


def test_limits_are_metrics() -> None:
    assert completion.limits("") == list(METRICS)
    assert completion.limits("speedup.") == [name for name in METRICS if name.startswith("speedup.")]


def test_every_key_can_be_set() -> None:
    found = completion.keys("")
    assert {"target.threads=", "passes.quantize.scheme=", "passes.fuse.optional=", "objective="} <= set(found)
    assert len(found) == len(set(found))
    steps = ", ".join(table())
    document = read_text(f"passes: [{steps}]", "r.yaml")
    for key in found:
        apply(document, [f"{key}1"])


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("passes qua", "quantize"),
        ("optimize m.onnx --runtime openv", "openvino"),
        ("optimize m.onnx --set passes.quantize.sche", "passes.quantize.scheme="),
        ("gate a --gate speedup.m", "speedup.median"),
        ("bench a --gate speedup.m", "speedup.median"),
        ("bisect r.yaml --set target.thr", "target.threads="),
    ],
)
def test_a_shell_that_asks_is_told(words: str, found: str) -> None:
    asked = {"_MLOPT_COMPLETE": "complete_bash", "COMP_WORDS": f"mlopt {words}", "COMP_CWORD": str(len(words.split()))}
    command = [sys.executable, "-m", "mlopt"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [found]
