"""Engines by the real TensorRT-RTX, and what it says of models and options that it does not take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from pass_runs import fresh
from tensorrt_graphs import graph, needed, product, quantized

from mlopt.core.errors import MloptError, PassError
from mlopt.core.worker import WorkerDiedError, run_in_worker, run_in_worker_for
from mlopt.formats.model import Model, digest_file
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.tensorrt import Range, Shapes
from mlopt.passes.building.engine import build
from mlopt.passes.building.profiles import sizes_of
from mlopt.passes.building.readable import write_readable
from mlopt.passes.building.settings import Built, EngineOrder, EngineSettings, Profile

pytestmark = [pytest.mark.rtx, needed]

GRAPHS = Path(onnx.__file__).parent / "backend/test/data/light"
BATCHES = {"x": Range(min=(1, 8), opt=(2, 8), max=(4, 8))}


def order(
    model: Model, tmp_path: Path, *profiles: Profile, target: str = "sm89", shapes: Shapes = "dynamic", **settings: Any
) -> EngineOrder:  # fmt: skip
    readable = write_readable(model, tmp_path / "readable.onnx")
    return EngineOrder(
        "tensorrt_rtx", readable, fresh(tmp_path, "engines"), target, "fp32", shapes, model.digest, profiles,
        EngineSettings(**settings),
    )  # fmt: skip


def written(one: EngineOrder) -> Path:
    return one.file(str(one.target))


def built(one: EngineOrder, tmp_path: Path) -> Built:
    return run_in_worker(tmp_path / "log", build, one)


def settled(one: EngineOrder, tmp_path: Path) -> Built | PassError:
    try:
        return built(one, tmp_path)
    except PassError as error:
        return error


def refused(one: EngineOrder, tmp_path: Path) -> MloptError:
    with pytest.raises(MloptError) as caught:
        built(one, tmp_path)
    assert not list(one.folder.iterdir())
    assert all(each.fix for each in caught.value.problems)
    return caught.value


@pytest.mark.parametrize("target", ["sm80", "sm86", "sm89", "sm120", "sm121"])
def test_an_engine_is_built_for_a_gpu_that_is_not_here(tmp_path: Path, target: str) -> None:
    one = order(product(tmp_path / "m.onnx"), tmp_path, target=target)
    found = built(one, tmp_path).engine
    assert (found.target, found.size_bytes) == (target, written(one).stat().st_size)
    assert found.digest == digest_file(written(one))


def test_what_sm75_computes_in_fp16_alone_is_told_with_the_step_that_writes_it(tmp_path: Path) -> None:
    (problem,) = refused(order(product(tmp_path / "m.onnx"), tmp_path, target="sm75"), tmp_path).problems
    assert "fp16: {placement: tensorrt}" in str(problem.fix)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], "down", to=onnx.TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["m"], "half"),
        helper.make_node("Cast", ["m"], ["y"], "up", to=onnx.TensorProto.FLOAT),
    ]
    half = graph(tmp_path / "h.onnx", nodes, {"x": (1, 8)}, {"y": (1, 8)}, w=np.eye(8, dtype=np.float16))
    assert built(order(half, tmp_path, target="sm75"), tmp_path).engine.size_bytes > 0


def test_two_builds_of_fixed_sizes_are_the_same_bytes(tmp_path: Path) -> None:
    model = product(tmp_path / "m.onnx")
    first, second = (built(order(model, tmp_path), tmp_path) for _ in range(2))
    assert first.engine.digest == second.engine.digest


def test_sizes_that_vary_are_static_in_a_static_engine_whose_bytes_are_the_same_again(tmp_path: Path) -> None:
    model = product(tmp_path / "m.onnx", "n")
    one, again = (built(order(model, tmp_path, BATCHES, shapes="static"), tmp_path) for _ in range(2))
    other = built(order(product(tmp_path / "two.onnx", 2), tmp_path), tmp_path)
    dynamic = built(order(model, tmp_path, BATCHES), tmp_path)
    assert one.engine.digest == again.engine.digest
    assert one.engine.size_bytes == other.engine.size_bytes != dynamic.engine.size_bytes


def test_sizes_that_vary_take_several_profiles(tmp_path: Path) -> None:
    one = order(product(tmp_path / "m.onnx", "n"), tmp_path, BATCHES, {"x": Range(min=(8, 8), opt=(8, 8), max=(8, 8))})
    assert built(one, tmp_path).engine.size_bytes > 0


def test_int8_is_read(tmp_path: Path) -> None:
    assert built(order(quantized(tmp_path / "m.onnx"), tmp_path), tmp_path).engine.size_bytes > 0


def test_a_bias_in_int32_is_named_and_what_writes_none(tmp_path: Path) -> None:
    (problem,) = refused(order(quantized(tmp_path / "m.onnx", bias=True), tmp_path), tmp_path).problems
    assert problem.where == "node 'bias' (DequantizeLinear)"
    assert "placement: tensorrt" in str(problem.fix)


def test_a_weight_in_int8_that_no_dequantize_reads_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["w"], ["wf"], "cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wf"], ["y"], "product"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (1, 8)}, {"y": (1, 8)}, w=np.eye(8, dtype=np.int8))
    (problem,) = refused(order(model, tmp_path), tmp_path).problems
    assert "Quantized constant (w)" in str(problem.got)
    assert "DequantizeLinear" in str(problem.fix)


def test_every_operator_that_it_lacks_is_named_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("First", ["x"], ["a"], "one", domain="foo"),
        helper.make_node("Second", ["a"], ["y"], "two", domain="foo"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (1, 8)}, {"y": (1, 8)})
    problems = refused(order(model, tmp_path), tmp_path).problems
    assert [each.where for each in problems] == ["node 'one' (First)", "node 'two' (Second)"]
    assert all(each.fix for each in problems)


def test_a_gpu_that_it_does_not_know_is_refused_with_those_that_it_does(tmp_path: Path) -> None:
    (problem,) = refused(order(product(tmp_path / "m.onnx"), tmp_path, target="sm90"), tmp_path).problems
    assert problem.got == "sm90"
    assert "sm89, sm120" in str(problem.expected)


def test_sizes_that_vary_without_a_profile_are_told_in_the_librarys_words(tmp_path: Path) -> None:
    (problem,) = refused(order(product(tmp_path / "m.onnx", "n"), tmp_path), tmp_path).problems
    assert "no optimization profile" in str(problem.got)


@pytest.mark.parametrize("settings", [
    {"sparsity": True}, {"optimization_level": 5}, {"aux_streams": 1}, {"tiling": "fast"}, {"workspace_mb": 64},
    {"hardware_compatible": "ampere_plus"},
])  # fmt: skip
def test_options_that_it_has_are_taken(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert built(order(product(tmp_path / "m.onnx"), tmp_path, **settings), tmp_path).engine.size_bytes > 0


@pytest.mark.parametrize("settings", [{"refit": True}, {"strip_weights": True}, {"version_compatible": True}])
def test_what_it_cannot_do_without_a_gpu_is_an_error_and_leaves_nothing(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    (problem,) = refused(order(product(tmp_path / "m.onnx"), tmp_path, **settings), tmp_path).problems
    assert problem.got


def test_an_option_that_it_has_not_is_named_with_the_version(tmp_path: Path) -> None:
    (problem,) = refused(order(product(tmp_path / "m.onnx"), tmp_path, tiling="sideways"), tmp_path).problems
    assert problem.where == "passes.tensorrt.tiling"
    assert "TensorRT-RTX 1." in str(problem.got)


def test_a_child_that_may_not_have_the_memory_ends_as_an_error(tmp_path: Path) -> None:
    one = replace(order(product(tmp_path / "m.onnx"), tmp_path), memory_bytes=1 << 20)
    with pytest.raises((MloptError, WorkerDiedError)) as caught:  # without threads it may wait for one, too
        run_in_worker_for(20, tmp_path / "log", build, one)
    assert isinstance(caught.value, WorkerDiedError) or "memory_gb" in str(caught.value)
    assert not list(one.folder.iterdir())


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    one = order(product(tmp_path / "m.onnx"), tmp_path)
    with pytest.raises(WorkerDiedError, match="was ended"):
        run_in_worker_for(0.05, tmp_path / "log", build, one)


@pytest.mark.parametrize("name", sorted(file.name for file in GRAPHS.glob("*.onnx")))
def test_classic_graphs_build_or_name_the_node(tmp_path: Path, name: str) -> None:
    model = open_onnx(GRAPHS / name)
    profile = {
        spec.name: sizes_of(spec, tuple(1 if isinstance(size, str) else size for size in spec.shape), 1)
        for spec in model.inputs
        if spec.dynamic_axes
    }
    one = order(model, tmp_path, *([profile] if profile else []))
    outcome = settled(one, tmp_path)
    assert isinstance(outcome, Built) or all("node '" in str(problem.where) for problem in outcome.problems), outcome
