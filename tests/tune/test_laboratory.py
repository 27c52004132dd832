"""What a point comes to, with real models and processes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import tuned_recipe

from mlopt.core.errors import PassError
from mlopt.core.packages import version
from mlopt.run.request import Request
from mlopt.tune.laboratory import CALIBRATED, RecipeLaboratory
from mlopt.tune.study import Opening

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecipeLaboratory]:
    folder = tmp_path_factory.mktemp("laboratory")
    path = tuned_recipe.write(folder, tuned_recipe.TEXT, calibration=CALIBRATED + 8)
    with Opening(Request(source=path, sign=False, use_cache=False))() as laboratory:
        yield laboratory


def test_what_it_answers_can_travel_as_json(laboratory: RecipeLaboratory) -> None:
    point = laboratory.space.default
    built = laboratory.build(point)
    (way, *_) = laboratory.look(point)
    judged = laboratory.judge(point, way["options"])
    raced = laboratory.race([("one", point, way["options"])])
    for answer in (built, way, judged, raced):
        assert json.loads(json.dumps(answer)) == json.loads(json.dumps(answer))
    assert built["whole"]
    assert way["ms"] > 0
    assert way["cosine"] > 0.9
    assert judged["why_not"] is None
    assert raced["one"]["speedup"] > 0
    assert raced["one"]["peak_rss_bytes"] > 0


def test_a_cheap_build_is_calibrated_on_a_part_of_the_samples(laboratory: RecipeLaboratory) -> None:
    point = laboratory.space.default
    cheap, whole = laboratory.build(point, True), laboratory.build(point)
    assert not cheap["whole"]
    assert cheap["digest"] != whole["digest"]
    bare = laboratory.space.completed({"passes.quantize": False})
    assert laboratory.build(bare, True)["whole"]


def test_a_change_of_the_session_is_how_the_model_is_opened(laboratory: RecipeLaboratory) -> None:
    point = laboratory.space.completed({"session.onnxruntime": "graph_optimization: basic"})
    options = laboratory.look(point)[0]["options"]
    assert options["graph_optimization"] == "basic"
    assert laboratory.build(point)["digest"] == laboratory.build(laboratory.space.default)["digest"]


@pytest.mark.skipif(version("nncf") is not None, reason="nncf is installed")
def test_a_step_that_does_not_apply_fails_the_point(laboratory: RecipeLaboratory) -> None:
    point = laboratory.space.completed({"passes.quantize.smooth_quant": True})
    with pytest.raises(PassError, match=r"'quantize' was (refused|failed)"):
        laboratory.build(point)


def test_options_that_are_tried_are_those_of_the_runtime(laboratory: RecipeLaboratory) -> None:
    changes = laboratory.space.sessions["onnxruntime"]
    assert changes["graph_optimization: none"] == {"graph_optimization": "none"}
    assert all("device" not in change for change in changes.values())
