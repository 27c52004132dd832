"""The picture of what was tried: each point where its figures say, however odd they are."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example_report
from tried_example import LOOKS, ORT, TRIED, Look, tried, tried_report

from mlopt.report import tried_list, tried_picture
from mlopt.report.svg import Drawing
from mlopt.results.report import GateVerdict, Report, Tried


def picture(report: Report) -> Drawing | None:
    return tried_picture.picture(report, tried_list.rows(report))


SVG = "{http://www.w3.org/2000/svg}"


def drawn(report: Report) -> tuple[ET.Element, str, list[str]]:
    found = picture(report)
    assert found is not None
    root = ET.fromstring(found.svg)
    return root, found.caption, [element.text or "" for element in root.iter(f"{SVG}text")]


def gate(metric: str, limit: str) -> GateVerdict:
    return tried_report().gates[0].model_copy(update={"metric": metric, "limit": limit})


def test_every_point_has_its_number_and_what_is_shipped_its_name() -> None:
    _, caption, words = drawn(tried_report())
    assert {"1 shipped", *map(str, range(2, 12))} <= set(words)
    assert "12" not in words
    assert "Not drawn, for want of a latency or a fidelity, or of room in the list: 1." in caption
    assert {"onnxruntime", "openvino"} <= set(words)


def test_who_cannot_see_it_is_told_the_same() -> None:
    root, _, _ = drawn(tried_report())
    told = root.find(f"{SVG}desc")
    assert told is not None
    assert root.attrib["aria-describedby"] == told.attrib["id"]
    assert "1: after simplify (1) in openvino bf16, static shapes, 2.13 ms, cosine 0.999960, shipped." in (
        told.text or ""
    )


def test_the_axis_tells_0_99_from_0_999999() -> None:
    ticks = ["0", "0.9", "0.99", "0.999", "0.9999", "0.99999", "0.999999", "equal"]
    assert [word for word in drawn(tried_report())[2] if word in ticks] == ticks[::-1]


@pytest.mark.parametrize(
    ("metric", "limit", "ticks"),
    [
        ("fidelity.sqnr_db", ">= 30", ["20 dB", "40 dB"]),
        ("fidelity.relative_error", "<= 0.05", ["0.1", "0.01"]),
        ("fidelity.cosine", ">= 0.99", ["0.9", "0.9999"]),
    ],
)
def test_the_limit_that_a_gate_sets_is_drawn_in_its_own_figure(metric: str, limit: str, ticks: list[str]) -> None:
    found = picture(tried_report(gates=(gate(metric, limit),)))
    assert found is not None
    assert f"The tinted side breaks the gate {metric} {limit}." in found.caption
    assert "var(--bad-soft, " in found.svg
    assert set(ticks) <= set(drawn(tried_report(gates=(gate(metric, limit),)))[2])


@pytest.mark.parametrize(
    "gates", [(), (gate("accuracy.drop_pt", "<= 0.5"),), (gate("fidelity.cosine", "as good as it gets"),)]
)
def test_without_a_limit_on_fidelity_none_is_drawn(gates: tuple[GateVerdict, ...]) -> None:
    found = picture(tried_report(gates=gates))
    assert found is not None
    assert "var(--bad-soft, " not in found.svg
    assert "gate" not in found.caption


def test_runtimes_have_looks_of_their_own_and_many_share_the_last() -> None:
    report = tried_report(tried=tried(tuple(replace(LOOKS[0], runtime=f"r{number}") for number in range(9))))
    looks = tried_picture.looks(report, tried_list.rows(report))
    assert list(looks) == ["onnxruntime", *(f"r{number}" for number in range(9))]
    assert len({(look.role, look.marker) for look in looks.values()}) == 5
    assert "others" in drawn(report)[2]
    assert looks["onnxruntime"] == tried_picture.looks(tried_report(), tried_list.rows(tried_report()))["onnxruntime"]


def test_what_may_not_be_shipped_is_hollow() -> None:
    def fills(valid: bool) -> int:
        look = Look("source", "onnxruntime", ORT, 3.0, 0.999, "no", valid)
        found = picture(tried_report(tried=tried((look,))))
        assert found is not None
        return found.svg.count("fill: var(--hue-a, ")

    assert fills(True) > fills(False)


def test_without_both_figures_there_is_no_picture() -> None:
    assert picture(example_report()) is None
    for odd in ({"latency_ms": None}, {"fidelity": None}, {"latency_ms": -1.0}, {"latency_ms": 1e300}):
        report = tried_report(tried=(tried()[0].model_copy(update=odd),))
        assert picture(report) is None


@settings(max_examples=15, deadline=None)
@given(st.lists(TRIED, max_size=12), st.text(max_size=8) | st.floats(allow_nan=False).map(lambda value: f">= {value}"))
def test_any_figures_can_be_drawn(tries: list[Tried], limit: str) -> None:
    for metric in ("fidelity.cosine", "fidelity.sqnr_db", "fidelity.relative_error"):
        found = picture(tried_report(tried=tuple(tries), gates=(gate(metric, limit),)))
        assert found is None or ET.fromstring(found.svg).find(f"{SVG}desc") is not None


def positions(*cosines: float) -> list[float]:
    """Return how high the points of models with these cosines stand, from the top."""
    looks = tuple(
        Look(f"m{number}", "onnxruntime", ORT, 2.0 + number, cosine, "no") for number, cosine in enumerate(cosines)
    )
    root, _, _ = drawn(tried_report(tried=tried(looks), gates=()))
    marks: Any = [use for use in root.iter(f"{SVG}use") if "hue-a" in use.attrib.get("style", "")]
    found = {float(use.attrib["x"]): float(use.attrib["y"]) for use in marks}
    return [found[x] for x in sorted(found)][-len(cosines) :]


def test_a_tenth_of_the_distance_is_always_as_far_up() -> None:
    heights = positions(0.9, 0.99, 0.999, 0.9999)
    steps = [one - two for one, two in pairwise(heights)]
    assert all(step > 5 for step in steps)
    assert math.isclose(max(steps), min(steps), rel_tol=0.01)
