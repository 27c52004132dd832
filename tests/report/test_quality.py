"""What the final model gets wrong: the sentence, the picture and the count of what is shown."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example_report

from mlopt.report import quality
from mlopt.results.report import Report


def dropped(**changes: Any) -> Report:
    drop = example_report().accuracy_drop
    assert drop is not None
    return example_report(accuracy_drop=drop.model_copy(update=changes))


def test_the_sentence_says_who_was_right_where_that_is_known() -> None:
    assert quality.differences(example_report()) == (
        "The scores of onnx_fp32 and final differ on 5 of 1,500 samples: "
        "3 that only the first gets right, 2 that only the second does."
    )
    assert quality.differences(dropped(lost=None, gained=None)) == (
        "The scores of onnx_fp32 and final differ on 5 of 1,500 samples."
    )
    assert quality.differences(example_report(accuracy_drop=None)) is None


def test_the_list_says_how_much_of_it_is_shown() -> None:
    assert quality.shown(example_report()) == "4 of 5 shown"
    assert quality.shown(example_report(differing=())) is None


@pytest.mark.parametrize(
    ("pt", "ci95", "role"), [(0.4, (0.1, 0.7), "bad"), (0.07, (-0.2, 0.35), "warn"), (-0.5, (-0.8, -0.1), "good")]
)
def test_the_drop_is_red_only_where_it_is_one(pt: float, ci95: tuple[float, float], role: str) -> None:
    picture = quality.drop_picture(dropped(pt=pt, ci95=ci95, lost=None, gained=None))
    assert picture is not None
    roles = {one for one in ("good", "bad", "warn") if f"var(--{one}, " in picture.svg}
    assert roles == {role}


def test_samples_lost_and_gained_are_drawn_where_they_are_counted() -> None:
    picture = quality.drop_picture(example_report())
    assert picture is not None
    assert "lost on 3 samples" in picture.svg
    assert "gained on 2 samples" in picture.svg
    assert quality.drop_picture(example_report(accuracy_drop=None)) is None
    empty = quality.drop_picture(dropped(n=0, pt=0.0, ci95=(0.0, 0.0)))
    assert empty is not None
    assert "lost on" not in empty.svg
