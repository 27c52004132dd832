"""The path of a search: who proposed what, and the line of the best, which never rises."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_example import example_study, raced

from mlopt.report.study import path_picture, rows
from mlopt.report.svg import Drawing
from mlopt.results.study import StudyRecord

SVG = "{http://www.w3.org/2000/svg}"


def picture(study: StudyRecord) -> Drawing | None:
    return path_picture.picture(study, rows.rows(study))


def words(found: Drawing | None, tag: str = "text") -> list[str]:
    assert found is not None
    return [element.text or "" for element in ET.fromstring(found.svg).iter(f"{SVG}{tag}")]


def test_each_origin_and_each_end_is_in_the_key() -> None:
    found = words(picture(example_study()))
    assert {"recipe", "prior", "earlier study", "search", "stopped", "failed"} <= set(found)
    assert "others" not in found
    assert "others" in words(picture(example_study(trials=(raced(0, latency_ms=1.0, origin="a stranger"),))))


def test_every_trial_can_be_pointed_at() -> None:
    titles = words(picture(example_study()), "title")
    assert len(titles) == 44
    assert any("earlier study, at" in one and "raced" in one for one in titles)
    assert any("OpenVINO does not know operators" in one for one in titles)


def test_the_axis_is_in_a_unit_that_suits() -> None:
    def at(seconds: float) -> str:
        return " ".join(words(picture(example_study(trials=(raced(0, latency_ms=1.0, began_s=seconds),)))))

    assert " s " in at(50)
    assert " min " in at(1000)
    assert " h " in at(90_000)


def test_a_search_for_size_is_drawn_by_size() -> None:
    trials = tuple(raced(number, latency_ms=1.0, size_bytes=10**7 * (9 - number)) for number in range(4))
    found = words(picture(example_study(trials=trials, objective="size")))
    assert any(one.endswith(" MB") for one in found)
    assert "→ time, ↑ size" in found


@pytest.mark.parametrize("odd", [{"latency_ms": None}, {"status": "failed"}, {"began_s": -9.0}, {"began_s": 1e300}])
def test_without_a_figure_there_is_no_picture(odd: dict[str, Any]) -> None:
    assert picture(example_study(trials=(raced(0, **({"latency_ms": 1.0} | odd)),))) is None


@pytest.mark.heavy
@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 99)] * 2), max_size=8))
def test_any_figures_can_be_drawn(points: list[tuple[float, float]]) -> None:
    trials = tuple(raced(number, latency_ms=ms, began_s=began) for number, (ms, began) in enumerate(points))
    found = picture(example_study(trials=trials))
    assert found is None or ET.fromstring(found.svg).attrib["role"] == "img"
