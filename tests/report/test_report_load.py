"""The models under load: the lines, their pictures, and what is said beside them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example_report

from mlopt.report import load
from mlopt.report.svg import Drawing
from mlopt.results.figures import SweepPoint
from mlopt.results.report import Report


def texts(picture: Drawing) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")]


def point(**changes: Any) -> SweepPoint:
    return example_report().sweep[0].model_copy(update=changes)


def swept(**sizes: tuple[int, ...]) -> Report:
    points = [{}]
    for key, values in sizes.items():
        points = [{**one, key: value} for one in points for value in values]
    return example_report(sweep=tuple(point(name=name, **one) for name in ("onnx_fp32", "final") for one in points))


def test_batches_are_one_picture_with_a_number_at_each_point() -> None:
    (picture,) = load.curves(example_report())
    words = texts(picture)
    assert picture.title == "Latency against throughput"
    assert [words.count(number) for number in ("4", "16", "64")] == [2, 2, 2]
    assert {"onnx_fp32", "final", "p50, ms", "samples per second"} <= set(words)
    assert "The number beside a point is the batch size." in picture.caption
    assert "The vertical axis is logarithmic." in picture.caption


def test_threads_and_clients_have_pictures_of_their_own_on_one_pair_of_axes() -> None:
    pictures = load.curves(swept(batch_size=(1, 8), threads=(1, 2), concurrency=(1, 4)))
    assert [one.title.removeprefix("Latency against throughput, ") for one in pictures] == [
        "1 client, 1 thread", "1 client, 2 threads", "4 clients, 1 thread", "4 clients, 2 threads",
    ]  # fmt: skip
    assert [bool(one.caption) for one in pictures] == [True, False, False, False]
    ticks = [{word for word in texts(one) if word[:1].isdigit()} for one in pictures]
    assert ticks[0] == ticks[1] == ticks[2] == ticks[3]


def test_without_batches_the_line_goes_along_the_clients() -> None:
    (picture,) = load.curves(swept(concurrency=(1, 3, 7)))
    assert "how many clients ask at once" in picture.caption
    assert texts(picture).count("7") >= 2
    assert load.fixed(swept(concurrency=(1, 3, 7))) == "batch size 1, 2 threads"


def test_a_point_without_a_median_is_left_out_of_the_picture_and_stays_in_the_table() -> None:
    latency = point().latency_ms
    unknown = point(batch_size=8, latency_ms=latency.model_copy(update={"p50": None}))
    report = example_report(sweep=(point(), unknown))
    (picture,) = load.curves(report)
    assert "8" not in texts(picture)
    assert [one.batch_size for one in load.loads(report)[0].points] == [1, 8]
    assert load.curves(example_report(sweep=(unknown,))) == ()


def test_without_a_sweep_there_is_nothing() -> None:
    report = example_report(sweep=())
    assert (load.curves(report), load.loads(report), load.fixed(report)) == ((), (), "")


def test_the_final_model_looks_as_in_every_picture() -> None:
    (picture,) = load.curves(example_report(sweep=tuple(one for one in example_report().sweep if one.name == "final")))
    assert "var(--final, " in picture.svg
    assert "var(--reference, " not in picture.svg


@pytest.mark.heavy
@settings(max_examples=12, deadline=None)
@given(rate=st.floats(0, 1e12), p50=st.floats(0, 1e12), name=st.text(max_size=30))
def test_any_point_can_be_drawn(rate: float, p50: float, name: str) -> None:
    latency = point().latency_ms.model_copy(update={"p50": p50, "ci95": {"p50": (p50, p50)}})
    report = example_report(sweep=(point(), point(name=name, throughput_per_s=rate, latency_ms=latency)))
    assert all(texts(one) for one in load.curves(report))
