"""The front as a picture: what is beaten, not valid or given up looks so, and hovering tells the rest."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_example import example_study, raced

from mlopt.report.study import front_picture, rows
from mlopt.report.svg import Drawing
from mlopt.results.study import StudyRecord

SVG = "{http://www.w3.org/2000/svg}"


def picture(study: StudyRecord) -> Drawing | None:
    return front_picture.picture(study, rows.rows(study))


def drawn(study: StudyRecord) -> tuple[Drawing, ET.Element]:
    found = picture(study)
    assert found is not None
    return found, ET.fromstring(found.svg)


def words(root: ET.Element, tag: str = "text") -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}{tag}")]


def test_the_best_the_recipe_and_the_front_are_named() -> None:
    found, root = drawn(example_study())
    assert {"19 best", "0 recipe", "onnxruntime", "openvino"} <= set(words(root))
    assert found.title == "Latency against accuracy"
    assert "Without a latency or a quality, so not drawn: 7." in found.caption


def test_a_pointer_brings_up_the_configuration() -> None:
    _, root = drawn(example_study())
    titles = words(root, "title")
    assert len(titles) == 37
    best = next(one for one in titles if one.startswith("Trial 19, best"))
    assert "quantize off; runtime openvino; session precision bf16" in best
    assert "2.19 ms, 2.84x (2.80x to 2.89x), openvino" in best


def fills(**changes: Any) -> int:
    others = [raced(number, latency_ms=2.0 + number, accuracy=0.5, runtime="a") for number in (1, 2)]
    study = example_study(trials=(raced(0, latency_ms=1.0, accuracy=0.9, runtime="a", **changes), *others), best=None)
    return drawn(study)[0].svg.count("fill: var(--hue-a, ")


def test_what_is_not_valid_is_hollow() -> None:
    assert fills(valid=True) == fills(valid=False) + 1
    assert fills(valid=None) == fills(valid=False)


def test_what_was_given_up_after_it_was_timed_is_a_cross() -> None:
    assert fills(status="stopped") < fills(valid=True)


def test_fidelity_is_drawn_by_its_nines() -> None:
    trials = tuple(raced(number, latency_ms=1.0 + number, fidelity=1 - 10.0**-number) for number in range(1, 5))
    found, root = drawn(example_study(trials=trials))
    assert found.title == "Latency against cosine"
    assert {"0.9", "0.99", "0.999", "0.9999"} <= set(words(root))


def test_one_that_is_far_worse_does_not_flatten_the_others() -> None:
    trials = [raced(number, latency_ms=1.0 + number, accuracy=0.9 + number / 100) for number in range(3)]
    found, root = drawn(example_study(trials=(*trials, raced(9, latency_ms=2.0, accuracy=0.1, valid=False))))
    assert "Drawn at the lower edge, though they lie below it: 1." in found.caption
    assert "10 %" not in words(root)


@pytest.mark.parametrize("odd", [{"latency_ms": None}, {"accuracy": None}, {"latency_ms": 1e300}, {"latency_ms": -1}])
def test_without_both_figures_there_is_no_picture(odd: dict[str, Any]) -> None:
    assert picture(example_study(trials=(raced(0, **({"latency_ms": 1.0, "accuracy": 0.5} | odd)),))) is None


ANY = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.floats(0.1, 9)


@pytest.mark.heavy
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(ANY, ANY, st.none() | st.booleans(), st.text(max_size=9)), max_size=8), st.booleans())
def test_any_figures_can_be_drawn(points: list[tuple[Any, ...]], scored: bool) -> None:
    kind = "accuracy" if scored else "fidelity"
    trials = tuple(
        raced(number, latency_ms=ms, valid=valid, runtime=runtime, **{kind: good})
        for number, (ms, good, valid, runtime) in enumerate(points)
    )
    found = picture(example_study(trials=trials))
    assert found is None or ET.fromstring(found.svg).find(f"{SVG}desc") is not None
