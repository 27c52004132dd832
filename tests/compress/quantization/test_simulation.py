"""A rehearsal shows what half precision does, where the CPU hides it; the search admits all that it allows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from quantization_models import FLOAT, random
from quantization_models import write as write_graph

from mlopt.compress.half.graph import BF16, FP16, write
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import outputs
from mlopt.compress.quantization.prepared import WorkingCopy
from mlopt.compress.quantization.simulation import Stage, Verdict, admit, set_stage, simulate
from mlopt.data.dataset import Array, Samples, store
from mlopt.formats.onnx.file import open_onnx, read_graph

PORTS = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
EVERY = frozenset({"grow", "undo"})


def prepared(nodes: list[onnx.NodeProto], weights: dict[str, Array], tmp_path: Path) -> WorkingCopy:
    return prepare(open_onnx(write_graph(tmp_path / "m.onnx", nodes, weights, *PORTS)), tmp_path)


def staged(made: WorkingCopy, x: Array, tmp_path: Path) -> Stage:
    return set_stage(made, store(Samples({"x": x}), tmp_path / "data", "test"), open_onnx(made.path).inputs, 8)


def there_and_back(tmp_path: Path, by: float) -> WorkingCopy:
    nodes = [
        helper.make_node("Mul", ["x", "by"], ["a"], name="grow"),
        helper.make_node("Div", ["a", "by"], ["y"], name="undo"),
    ]
    return prepared(nodes, {"by": np.float32(by).reshape(())}, tmp_path)


def test_a_rehearsal_overflows_where_the_written_model_does_not_on_this_cpu(tmp_path: Path) -> None:
    made, x = there_and_back(tmp_path, 5e4), np.full((2, 4), 3, dtype=np.float32)
    write(made, EVERY, FP16, tmp_path / "half.onnx")
    assert np.isfinite(outputs(tmp_path / "half.onnx", {"x": x})[0]).all()
    stage = staged(made, x, tmp_path)
    verdict = simulate(stage, EVERY, frozenset(), FP16, 30)
    assert verdict.fault == "in FP16, only one of the two models' outputs is NaN or infinite (output 'y', sample 0)"
    assert simulate(stage, EVERY, frozenset({"a"}), FP16, 30).fault == "'a' is no longer finite in FP16"
    assert simulate(stage, EVERY, frozenset({"a"}), BF16, 30).fault is None


def test_what_overflows_and_is_hidden_behind_it_is_seen_in_watched_tensors(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "by"], ["a"], name="grow"),
        helper.make_node("Tanh", ["a"], ["y"], name="undo"),
    ]
    made = prepared(nodes, {"by": np.float32(65472).reshape(())}, tmp_path)
    x = np.full((1, 4), 1.0004885, dtype=np.float32)  # the product is below 65504; with x rounded, beyond 65520
    assert x[0, 0] * np.float32(65472) < FP16.largest
    stage = staged(made, x, tmp_path)
    assert simulate(stage, EVERY, frozenset(), FP16, 30).fault is None
    assert simulate(stage, EVERY, frozenset({"a"}), FP16, 30).fault == "'a' is no longer finite in FP16"


def test_the_error_is_that_of_rounding_to_11_and_8_bits(tmp_path: Path) -> None:
    made = there_and_back(tmp_path, 3.0)
    stage = staged(made, random(64, 4), tmp_path)
    fp16, bf16 = (simulate(stage, EVERY, frozenset(), half, 0).sqnr_db for half in (FP16, BF16))
    assert 60 < fp16 < 80
    assert fp16 - bf16 == pytest.approx(20 * math.log10(8), abs=3)  # three bits
    assert simulate(stage, frozenset(), frozenset(), FP16, 200) == Verdict(None)
    lossy = simulate(stage, EVERY, frozenset(), FP16, 100).fault
    assert lossy is not None
    assert lossy.startswith("too lossy in FP16: an output keeps at most ")


def test_scales_of_resize_stay_exact(tmp_path: Path) -> None:
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], name="resize")]
    weights = {"scales": np.array([1, 1.0003], dtype=np.float32)}  # 1.0 in bfloat16
    ports = [("x", FLOAT, [1, 4000])], [("y", FLOAT, [1, "m"])]
    made = prepare(open_onnx(write_graph(tmp_path / "m.onnx", nodes, weights, *ports)), tmp_path)
    stage = staged(made, np.ones((1, 4000), dtype=np.float32), tmp_path)
    assert stage.expected[0]["y"].shape == (1, 4001)
    assert simulate(stage, frozenset({"resize"}), frozenset(), BF16, 30).fault is None


def test_a_rehearsal_writes_no_weights(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="grow"),
        helper.make_node("MatMul", ["h", "v"], ["y"], name="undo"),
    ]
    made = prepared(nodes, {"w": random(4, 2000), "v": random(2000, 4)}, tmp_path)
    stage = staged(made, random(3, 4), tmp_path)
    assert simulate(stage, EVERY, frozenset(), FP16, 30).fault is None
    assert (stage.path.parent / "rehearsal.onnx").stat().st_size < 4000
    assert len(read_graph(stage.path).graph.initializer) == 2


@given(
    culprits=st.frozensets(st.integers(0, 19), max_size=4),
    cut=st.integers(0, 20),
)
def test_all_but_the_culprits_are_admitted_in_few_trials(culprits: frozenset[int], cut: int) -> None:
    names = [str(number) for number in range(20)]
    bad = {str(number) for number in culprits}

    def attempt(nodes: frozenset[str]) -> Verdict:
        return Verdict("bad" if nodes & bad else None)

    found = admit((names[:cut], names[cut:]), attempt, seconds=60)
    assert found.admitted == set(names) - bad
    assert found.left == dict.fromkeys(bad, "bad")
    assert found.trials <= 2 + 2 * 5 * len(bad)  # two groups, and both halves at each of five levels
    assert not found.time_up


def test_when_time_is_up_what_was_admitted_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 1.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr("mlopt.compress.quantization.simulation.time.monotonic", lambda: next(clock))
    tried: list[frozenset[str]] = []

    def attempt(nodes: frozenset[str]) -> Verdict:
        tried.append(nodes)
        return Verdict("bad") if "c" in nodes else Verdict(None, 42.0)

    found = admit((["a", "b"], ["c", "d"]), attempt, seconds=5)
    assert tried == [{"a", "b"}, {"a", "b", "c", "d"}]
    assert (found.admitted, found.verdict.sqnr_db, found.time_up) == ({"a", "b"}, 42.0, True)
    assert found.left == dict.fromkeys("cd", "undecided when the 5 s were over")


def test_one_sample_that_changes_sides_does_not_decide(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["a"], name="grow"),
        helper.make_node("Round", ["a"], ["y"], name="undo"),
    ]
    made, x = prepared(nodes, {}, tmp_path), np.full((64, 4), 9, dtype=np.float32)
    x[0, 0] = 9.499999  # 9.5 in FP16, which rounds to 10
    verdict = simulate(staged(made, x, tmp_path), EVERY, frozenset(), FP16, 30)
    assert verdict.fault is None
    assert verdict.sqnr_db == pytest.approx(10 * math.log10(9**2 * 64 * 4), abs=0.01)
    x[:, 0] = 9.499999
    folder = tmp_path / "all"
    folder.mkdir()
    assert simulate(staged(made, x, folder), EVERY, frozenset(), FP16, 30).fault is not None
