"""The pictures: valid SVG in the page's colours, the same every time, and right about what they show."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example_report, example_samples

from mlopt.report import facts, html, plots
from mlopt.report.svg import WIDTH, Drawing
from mlopt.results.figures import Speedup
from mlopt.results.report import Report

SAMPLES = {name: [value for block in blocks for value in block] for name, blocks in example_samples().items()}


def texts(picture: Drawing | None) -> list[str]:
    assert picture is not None
    root = ET.fromstring(picture.svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def drawn() -> tuple[Drawing, ...]:
    return every(example_report(), SAMPLES)


def every(report: Report, samples: dict[str, list[float]]) -> tuple[Drawing, ...]:
    return tuple(one for section in html.pictures(report, samples).values() for one in section)


def test_the_pictures_are_of_one_width(drawn: tuple[Drawing, ...]) -> None:
    assert len(drawn) == 5
    for picture in drawn:
        root = ET.fromstring(picture.svg)
        assert root.attrib["viewBox"].split()[2] == f"{WIDTH:.0f}"
        assert root.attrib["aria-label"] == picture.title
        assert "width" not in root.attrib, "the page decides how large it is"


def test_every_colour_is_a_role_of_the_page(drawn: tuple[Drawing, ...]) -> None:
    for picture in drawn:
        bare = re.sub(r"var\(--[a-z-]+, #[0-9a-f]{6}\)", "", picture.svg)
        assert re.findall(r"(?:fill|stroke): #[0-9a-f]+", bare) == []
        assert "font-family" not in picture.svg
        for element in ET.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text"):
            assert "fill: var(--" in element.attrib["style"], "text without a colour would be black in the dark"


def test_without_scores_or_samples_or_gates_there_is_no_such_picture() -> None:
    report = example_report()
    unscored = example_report(
        steps=(), references={}, gates=(), sweep=(), operators={}, accuracy_drop=None,
        final=report.final.model_copy(update={"accuracy": None}),
    )  # fmt: skip
    assert [picture.title for picture in every(unscored, {})] == ["What the speedup is worth"]


def test_samples_beyond_the_edge_are_counted() -> None:
    picture = plots.distributions(example_report(), {"final": [1.0] * 990 + [50.0] * 10})
    assert picture is not None
    assert "10 of 1,000 lie beyond the right edge" in picture.caption


def test_a_wide_range_is_logarithmic_and_says_so() -> None:
    wide = Speedup(median=40.0, ci95=(38.0, 42.0), vs="torch_eager", noise_floor=0.02)
    assert "Logarithmic" in plots.speedups(example_report(speedups={"torch_eager": wide})).caption
    assert "Logarithmic" not in plots.speedups(example_report()).caption


def test_a_ratio_that_cannot_be_trusted_is_amber_and_hollow() -> None:
    good = Speedup(median=1.78, ci95=(1.71, 1.86), vs="onnx_fp32", noise_floor=0.03, control=(0.99, 1.03))
    bad = Speedup(median=1.05, ci95=(1.02, 1.08), vs="onnx_fp32", noise_floor=0.03, control=(1.004, 1.03))
    trusted, doubted = (plots.speedups(example_report(speedups={"onnx_fp32": one})) for one in (good, bad))
    assert "var(--good, " in trusted.svg
    assert "var(--good, " not in doubted.svg
    assert "var(--warn, " in doubted.svg
    assert "no ratio of this run can be trusted as it stands" in doubted.caption
    assert "trusted" not in trusted.caption


def test_only_measured_models_and_their_controls_have_a_spread() -> None:
    samples = {"final": [1.0, 2.0], "onnx_fp32 (again)": [1.0, 2.0], "final at batch 8": [9.0, 9.0]}
    words = texts(plots.distributions(example_report(), samples))
    assert {"final", "onnx_fp32 (again)"} <= set(words)
    assert "final at batch 8" not in words


def test_models_named_by_long_paths_keep_the_end_that_tells_them_apart() -> None:
    assert facts.short_name("artifacts/candidate/model.onnx", 16) == "…date/model.onnx"
    assert facts.short_name("a_long_name_without_a_path", 16) == "a_long_name_wit…"
    assert facts.short_name("a/b", 16) == "a/b"


def test_the_same_figures_give_the_same_bytes(drawn: tuple[Drawing, ...]) -> None:
    assert every(example_report(), SAMPLES) == drawn


POSITIVE = st.floats(1e-9, 1e12)
ANY = st.floats(-1e12, 1e12)


@settings(max_examples=12, deadline=None)
@given(median=ANY, ends=st.tuples(ANY, ANY).map(sorted), noise=st.floats(0, 10))
def test_any_speedup_can_be_drawn(median: float, ends: list[float], noise: float) -> None:
    speedup = Speedup(median=median, ci95=(ends[0], ends[1]), vs="x", noise_floor=noise)
    assert ET.fromstring(plots.speedups(example_report(speedups={"x": speedup})).svg)


@pytest.mark.heavy
@settings(max_examples=12, deadline=None)
@given(values=st.lists(st.floats(0, 1e9), min_size=1, max_size=8), p50=POSITIVE)
def test_any_samples_can_be_drawn(values: list[float], p50: float) -> None:
    report = example_report()
    latency = report.final.latency_ms.model_copy(update={"p50": p50})
    final = report.final.model_copy(update={"latency_ms": latency})
    assert texts(plots.distributions(example_report(final=final), {"final": values}))
