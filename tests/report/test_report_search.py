"""The account of a search, read from a step's notes and told as tables."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example_report, example_search

from mlopt.report import html, markdown, search

ATTACK = "<img src=x onerror=alert(1)>|`"


def table_of(**changes: Any) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    found = search.read({"search": example_search() | changes})
    assert found is not None
    return search.versions(found, "Agreement")


def test_what_was_chosen_is_told_from_what_was_good_enough() -> None:
    front = [example_search()["front"][1]] * 2
    assert [row[-1] for row in table_of(front=front)[1]] == ["good enough", "chosen"]
    assert [row[-1] for row in table_of(front=front, chosen=None)[1]] == ["good enough", "good enough"]
    assert [row[-1] for row in table_of(front=front, chosen=7)[1]] == ["good enough", "good enough"]


def test_columns_with_nothing_in_them_are_left_out() -> None:
    front = [example_search()["front"][0] | {"metric": None}]
    assert table_of(front=front)[0] == ("Numbers", "Layers", "Cosine", "Outcome")
    assert table_of(front=[]) == ((), [])


def test_of_a_search_that_chose_nothing_no_layer_has_a_reason() -> None:
    found = search.read({"search": example_search() | {"chosen": None}})
    assert found is not None
    heads, rows = search.layers(found, {"left_alone": {"conv_1": "excluded"}})
    assert heads == ("Layer", "FP32", "static", "SQNR if alone")
    assert [row[0] for row in rows] == ["conv_2", "conv_1"]


@pytest.mark.parametrize(
    "note", [None, "text", {}, example_search() | {"more": 1}, example_search() | {"front": [{"mode": "static"}]}]
)
def test_a_note_of_another_shape_stays_a_note(note: Any) -> None:
    assert search.read({"search": note}) is None
    assert search.others({"search": note, "mode": "auto"}) == {"search": note, "mode": "auto"}
    assert search.others({"search": example_search(), "mode": "auto"}) == {"mode": "auto"}


def test_its_words_stay_text() -> None:
    known = example_search()
    hostile = known | {
        "modes": {ATTACK: ATTACK}, "layers": {ATTACK: {ATTACK: {"fp32_ms": 1.0}}}, "remark": ATTACK,
        "front": [known["front"][0] | {"mode": ATTACK, "objection": ATTACK}], "chosen": None,
    }  # fmt: skip
    step = example_report().steps[0].model_copy(update={"notes": {"search": hostile, "left_alone": ATTACK}})
    report = example_report(steps=(step,))
    assert "<img" not in html.render(report, {}, "")
    table = markdown.render(report).partition("tried")[2].partition("## ")[0]
    assert "<img" not in table.replace("\\<", "")
    assert "\\<img src=x onerror=alert(1)\\>\\|" in table
