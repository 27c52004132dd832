"""What a step did, in sentences and small tables."""

from __future__ import annotations

from report_example import example_report

from mlopt.report import step_words
from mlopt.results.report import StepRecord


def noted(**notes: object) -> StepRecord:
    return example_report().steps[1].model_copy(update={"notes": notes, "reason": None})


def test_notes_that_are_known_are_sentences() -> None:
    step = noted(nodes=[228, 225], quantized=22, quantizable=36, macs=[4939904, 1290304], device_bound=False, odd="x")
    assert step_words.told(step) == (
        "Nodes: 228 before, 225 after.", "22 nodes quantized of 36 that can be.", "MACs: 4.94 M before, 1.29 M after.",
        "Odd: x.",
    )  # fmt: skip


def test_what_has_a_value_for_each_name_is_a_table() -> None:
    (table,) = step_words.tables(noted(changed={"Conv": [1, 0]}, sizes_checked={"batch": [1, 2]}, empty={}))
    assert (table.title, table.rows) == ("Operators that changed in number", (("Conv", "1 to 0"),))


def test_every_status_means_one_thing_and_the_key_tells_those_that_occur() -> None:
    assert len(set(step_words.STATUS.values())) == len(step_words.STATUS)
    key = step_words.key(example_report())
    assert {"Dropped:", "Refused:", "Failed:"} <= set(key.split())
    assert "Refused" not in step_words.key(example_report(steps=(noted(),)))
