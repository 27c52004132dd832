"""How a training went, in words and as curves; a note of another shape is left as it is."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example_report

from mlopt.report import markdown, search, training

EPOCHS = [
    {"number": n, "loss": 1.0 / n, "held_out": 1.1 / n, "score": 0.5 + n / 20, "learning_rate": 0.1, "seconds": 2.0}
    for n in (1, 2, 3)
]
NOTE: dict[str, Any] = {
    "name": "step 1 of 2", "epochs": EPOCHS, "steps": 300, "stopped": "epochs", "best": None, "resumed_at": None,
    "seconds": 6.2,
}  # fmt: skip


def test_it_is_told_in_a_line() -> None:
    (found,) = training.read({"trainings": [NOTE]})
    assert training.told(found) == (
        "3 epochs, 300 steps, 6 s, loss 0.3333, 0.3667 on samples held out, 65.00% of them right, ran to its end"
    )


def test_what_was_taken_and_what_was_interrupted_is_told() -> None:
    (found,) = training.read({"trainings": [{**NOTE, "best": 1, "stopped": "patience", "resumed_at": 120}]})
    said = training.told(found)
    assert "loss 1," in said
    assert said.endswith(
        "got no better, the weights of epoch 1 were taken, went on at step 120 after it was interrupted"
    )


@pytest.mark.parametrize(
    "notes", [{}, {"trainings": 3}, {"trainings": [{"name": "x"}]}, {"trainings": [{**NOTE, "a": 1}]}]
)
def test_another_shape_is_no_training(notes: dict[str, Any]) -> None:
    assert training.read(notes) == ()
    assert search.others(notes) == notes


def test_what_curves_show_is_in_no_line() -> None:
    assert search.others({"trainings": [NOTE], "macs": [2, 1]}) == {"macs": [2, 1]}


def test_of_a_source_too() -> None:
    made = example_report().model_copy(update={"source_notes": {"trainings": [{**NOTE, "name": "model.train"}]}})
    (picture,) = training.pictures(made)
    assert picture.title == "How the source was trained: model.train"
    assert "- the source was trained (model.train): 3 epochs" in markdown.render(made)


def test_each_training_has_its_curves() -> None:
    made = example_report()
    step = made.steps[0].model_copy(update={"notes": {"trainings": [NOTE, {**NOTE, "epochs": EPOCHS[:1]}]}})
    (picture,) = training.pictures(made.model_copy(update={"steps": (step, *made.steps[1:])}))
    assert picture.title == f"How {step.name} trained: step 1 of 2"
    assert "samples that are held out" in picture.svg
    assert "ran to its end" in picture.caption
