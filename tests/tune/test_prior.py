from __future__ import annotations

from pathlib import Path

import pytest
import tuned_recipe
from quantization_models import cnn, encoder

from mlopt.formats.onnx.file import open_onnx
from mlopt.results.study import TrialRecord
from mlopt.tune import prior
from mlopt.tune.space import Space, key_of


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return tuned_recipe.space(tmp_path_factory.mktemp("space"))


def trial(number: int, params: dict) -> TrialRecord:
    return TrialRecord(number=number, params=params, origin="search", status="measured", rung=2, began_s=0, seconds=1,
                       node="here", valid=True, speedup=2.0)  # fmt: skip


def test_first_points_are_valid_distinct_and_not_what_is_there(space: Space, tmp_path: Path) -> None:
    traits = prior.traits_of(open_onnx(cnn(tmp_path / "net.onnx")), 10**9)
    points = [point for point, origin in prior.first_points(space, traits, space.default) if origin == prior.PRIOR]
    keys = [key_of(point) for point in points]
    assert len(set(keys)) == len(keys) > 3
    assert key_of(space.default) not in keys
    assert any(point.get("session.onnxruntime") == "spinning: false" for point in points)


def test_of_a_light_model_options_of_the_session_come_first(space: Space, tmp_path: Path) -> None:
    light, heavy = (prior.traits_of(open_onnx(cnn(tmp_path / "net.onnx")), macs) for macs in (10**5, 10**10))
    first = [prior.first_points(space, traits, space.default)[0][0] for traits in (light, heavy)]
    assert first[0]["session.onnxruntime"] != first[1]["session.onnxruntime"] == "as it is"


def test_matrix_products_are_tried_with_scales_that_follow_the_input(space: Space, tmp_path: Path) -> None:
    traits = prior.traits_of(open_onnx(encoder(tmp_path / "net.onnx")), 10**9)
    modes = [point.get("passes.quantize.mode") for point, _ in prior.first_points(space, traits, space.default)]
    assert "dynamic" in modes
    convolutions = prior.traits_of(open_onnx(cnn(tmp_path / "cnn.onnx")), None)
    assert "dynamic" not in [
        p.get("passes.quantize.mode") for p, _ in prior.first_points(space, convolutions, space.default)
    ]


def test_what_was_best_is_tried_first_on_a_model_that_is_alike_and_on_no_other(space: Space, tmp_path: Path) -> None:
    like, other = (prior.traits_of(open_onnx(make(tmp_path / "net.onnx")), 5) for make in (cnn, encoder))
    best = space.completed({"passes.quantize.scheme": "u8s8"})
    gone = {"passes.gone": True, "passes.quantize.scheme": "no longer there"}
    prior.remember(tmp_path, like, "a CPU", "latency", [trial(3, best), trial(4, {**best, **gone})])
    assert prior.earlier_points(space, like, tmp_path, "a CPU", "latency") == [
        (best, prior.EARLIER), (space.default, prior.EARLIER)
    ]  # fmt: skip
    assert prior.earlier_points(space, other, tmp_path, "a CPU", "latency") == []
    assert prior.earlier_points(space, like, tmp_path, "another CPU", "latency") == []
    assert prior.earlier_points(space, like, tmp_path, "a CPU", "size") == []


def test_a_damaged_line_is_passed_over(space: Space, tmp_path: Path) -> None:
    traits = prior.traits_of(open_onnx(cnn(tmp_path / "net.onnx")), 10**9)
    prior.remember(tmp_path, traits, "a CPU", "latency", [trial(0, space.default)])
    path = tmp_path / prior.FOLDER / "found.jsonl"
    path.write_bytes(b"{\xff\n[]\n" + path.read_bytes())
    assert len(prior.earlier_points(space, traits, tmp_path, "a CPU", "latency")) == 1


def test_models_are_alike_by_their_operators_and_never_with_other_inputs() -> None:
    one = prior.Traits(operators={"Conv": 10, "Relu": 10}, bytes=1, macs=9, dtypes=("float32",))
    assert prior.alike(one, one.model_copy(update={"operators": {"Conv": 20, "Relu": 20}})) == pytest.approx(1)
    assert prior.alike(one, one.model_copy(update={"operators": {"MatMul": 9}})) == 0
    assert prior.alike(one, one.model_copy(update={"dtypes": ("int64",)})) == 0
