"""What is tried of ONNX Runtime: each alone, what can matter to the model, and every option that there is to choose."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from bench_models import dense, saved
from onnx import helper

from mlopt.core.target import Objective
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.onnxruntime import RUNTIME
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.onnxruntime_tunings import tunings


def chain(tmp_path: Path) -> Model:
    return open_onnx(dense(tmp_path / "chain.onnx", layers=2))


def fork(tmp_path: Path, source: str = "x") -> Model:
    """Two nodes that read one value."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", [source], ["a"]),
        helper.make_node("Abs", [source], ["b"]), helper.make_node("Sum", ["h", "a", "b"], ["y"]),
    ]  # fmt: skip
    return open_onnx(saved(tmp_path / "fork.onnx", nodes, [], "x", ["batch", 4], "y"))


def changed(base: OnnxRuntimeOptions, way: OnnxRuntimeOptions) -> dict[str, object]:
    return {key: value for key, value in way if value != getattr(base, key)}


@pytest.mark.parametrize("base", [OnnxRuntimeOptions(threads=4), OnnxRuntimeOptions(threads=2, spinning=False)])
def test_each_changes_one_option_and_is_named_after_it(tmp_path: Path, base: OnnxRuntimeOptions) -> None:
    ways = tunings(fork(tmp_path), base, Objective.LATENCY)
    for name, way in ways.items():
        ((key, value),) = changed(base, way).items()
        assert name == f"{key}: {str(value).lower()}"
        assert OnnxRuntimeOptions.model_validate(way.model_dump(mode="json"), strict=True) == way
    assert len(set(ways.values())) == len(ways)


def test_every_option_but_the_device_is_tried(tmp_path: Path) -> None:
    base = OnnxRuntimeOptions(threads=4)
    tried = {key for way in tunings(fork(tmp_path), base, Objective.LATENCY).values() for key in changed(base, way)}
    assert tried == set(OnnxRuntimeOptions.model_fields) - {"device", "provider"}


@pytest.mark.parametrize("source", ["x", "h"])
def test_operators_run_at_a_time_only_where_several_wait_for_one(tmp_path: Path, source: str) -> None:
    base = OnnxRuntimeOptions(threads=4)
    of_chain, of_fork = (tunings(m, base, Objective.LATENCY) for m in (chain(tmp_path), fork(tmp_path, source)))
    assert not any("inter_op_threads" in changed(base, way) for way in of_chain.values())
    assert {way.inter_op_threads for way in of_fork.values()} == {1, 2, 4}


def test_one_thread_has_nothing_to_share(tmp_path: Path) -> None:
    base = OnnxRuntimeOptions(threads=1)
    tried = {key for way in tunings(fork(tmp_path), base, Objective.LATENCY).values() for key in changed(base, way)}
    assert tried == {"graph_optimization", "prepacking", "memory_arena", "memory_pattern"}


def test_on_a_gpu_the_options_of_the_cpu_are_left_alone(tmp_path: Path) -> None:
    base = OnnxRuntimeOptions(threads=4, device="cuda")
    ways = tunings(fork(tmp_path), base, Objective.LATENCY).values()
    assert {way.graph_optimization for way in ways} == {"extended", "basic", "none"}
    assert {key for way in ways for key in changed(base, way)} == {"graph_optimization"}


def test_the_runtime_names_them() -> None:
    assert cast(object, RUNTIME.tunings) is tunings
