"""What is said of a training while it runs, and what is left of it for the report."""

from __future__ import annotations

from mlopt.compress.train.progress import Epoch, Trained, line
from mlopt.report import training

EPOCH = Epoch(1, 0.5, 0.6, 0.75, 0.01, 2.5)


def test_a_line_says_how_far_it_is() -> None:
    assert (
        line((2, 10), 0.1234567, EPOCH, 1234.5)
        == "epoch 2 of 10, loss 0.1235, held out 0.6, 75.0% right, 1,234 samples/s"
    )
    assert line((1, 10), 2.0, None, 9.0) == "epoch 1 of 10, loss 2, 9 samples/s"


def test_the_report_reads_its_notes() -> None:
    made = Trained((EPOCH,), 12, "patience", 1, None, 3.25)
    (found,) = training.read({"trainings": [{"name": "distill", **made.notes()}]})
    assert (found.steps, found.stopped, found.best, found.epochs[0].score) == (12, "patience", 1, 0.75)
