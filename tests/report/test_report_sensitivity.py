"""What each layer bears, in words and as a map; a note of another shape is left as it is."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example_report

from mlopt.report import html, markdown, search, sensitivity
from mlopt.results.report import Report


def note(layers: dict[str, list[float]], **more: Any) -> dict[str, Any]:
    points = [
        {"layer": layer, "along": [], "ratio": ratio, "score": score, "macs": 1 - ratio / 10}
        for layer, scores in layers.items() for ratio, score in zip((0.25, 0.5, 0.75), scores, strict=False)
    ]  # fmt: skip
    return {"sensitivity": {"measure": "accuracy", "samples": 512, "before": 0.98, "points": points} | more}


NOTE = note({"first": [0.9, 0.7, 0.2], "second": [0.98, 0.97, 0.96]})


def made(notes: dict[str, Any]) -> Report:
    report = example_report()
    step = report.steps[0].model_copy(update={"name": "prune", "notes": notes})
    return report.model_copy(update={"steps": (step, *report.steps[1:])})


def test_it_is_told_in_a_line() -> None:
    found = sensitivity.read(NOTE)
    assert found is not None
    assert sensitivity.told(found) == (
        "least first: 20.0 % without 75 % of its channels; most second: 96.0 %; accuracy on 512 samples of data.train, "
        "98.0 % unpruned, nothing trained between"
    )
    close = sensitivity.read(note({"only": [0.5]}, measure="closeness"))
    assert close is not None
    assert sensitivity.told(close).startswith("least only: 50.0 % without 25 % of its channels; 1 less the relative")


@pytest.mark.parametrize(
    "notes",
    [{}, {"sensitivity": True}, {"sensitivity": {"points": []}}, note({"first": [1e300]}), note({}), note({}, a=1)],
)
def test_another_shape_is_left_as_it_is(notes: dict[str, Any]) -> None:
    assert sensitivity.read(notes) is None
    assert search.others(notes) == notes
    assert sensitivity.pictures(made(notes)) == ()


def test_the_map_has_a_row_for_each_layer_and_a_column_for_each_share() -> None:
    (picture,) = sensitivity.pictures(made(NOTE))
    assert picture.title == "What each layer bears: prune"
    for word in ("first", "second", "-25 %", "-75 %", "20.0 %", "97.0 %", "-7.5 %"):
        assert f">{word}<" in picture.svg, word
    assert "Accuracy on 512 samples of data.train" in picture.caption


def test_of_many_layers_those_are_drawn_that_bear_least() -> None:
    many = {f"net.blocks.{n}.attention.output.dense": [0.5 + n / 200] for n in range(60)}
    (picture,) = sensitivity.pictures(made(note(many)))
    assert picture.caption.endswith("The 40 layers that bear least, of 60.")
    assert ">0.atte…on.output.dense<" in picture.svg
    assert ">41.att" not in picture.svg


def test_pages_have_it_and_no_line_of_json_repeats_it() -> None:
    report = made({**NOTE, "macs": [2, 1]})
    page, text = html.render(report, {}, ""), markdown.render(report)
    assert "<h2>What the layers bear</h2>" in page
    assert "hat each layer bears: least first: 20.0 %" in text
    assert '"points"' not in text
    assert "least first: 20.0 %" in page.replace("\xa0", " ")


def test_a_stranger_s_names_are_text() -> None:
    report = made(note({"<script>": [0.5], "a`|b": [0.9]}))
    assert "<script>" not in html.render(report, {}, "")
    assert "a\\`\\|b" in markdown.render(report)
