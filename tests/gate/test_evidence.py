"""What a gate asks of a report: with which error rate, of which samples, against which stored report."""

from __future__ import annotations

import pytest
from gate_evidence import SAMPLING, candidate, report

from mlopt.core.errors import GateError
from mlopt.gate.evidence import Question, rounds


def test_a_question_without_a_confidence_takes_the_intervals_of_the_report() -> None:
    assert not Question(report()).recomputes
    assert Question(report(), confidence=0.99).recomputes


def test_the_error_rate_is_divided_by_the_looks_that_were_planned() -> None:
    three = report(sampling=SAMPLING.model_copy(update={"looks_planned": 3}))
    assert Question(three, confidence=0.97).alpha == pytest.approx(0.01)
    assert Question(report(sampling=None), confidence=0.97).alpha == pytest.approx(0.03)


def test_samples_that_are_not_at_hand_are_named_with_their_file() -> None:
    for asked in (Question(report()), Question(report(), samples={"final": [[1.0]]})):
        with pytest.raises(GateError, match="takes the raw samples of 'onnx_fp32'") as error:
            asked.blocks("onnx_fp32")
        assert "samples.json" in str(error.value)
    assert Question(report(), samples={"final": [[1.0]]}).blocks("final") == [[1.0]]


def test_the_fastest_unchanged_source_is_the_baseline_where_the_report_has_no_other() -> None:
    assert Question(report(), vs="fastest_source").reference is None
    found = report(references={"fastest_source": candidate("fastest_source")})
    assert Question(found, vs="fastest_source").reference == "fastest_source"
    assert Question(found, vs="torch_compile").reference == "torch_compile"
    assert Question(found).reference is None


def test_a_stored_report_is_what_no_reference_is_called() -> None:
    old = report(name="old")
    known = {"baseline": old, "./main": old}
    assert Question(report(), vs="./main", baselines=known).stored() == old
    assert Question(report(), vs=None, baselines=known).stored() is None
    assert Question(report(), vs="onnx_fp32", baselines=known).stored() is None
    named = report(references={"./main": candidate("./main")})
    assert Question(named, vs="./main", baselines=known).stored() is None


def test_a_stored_report_that_was_not_given_says_how_to_give_it() -> None:
    with pytest.raises(GateError, match="was not given") as error:
        Question(report(), vs="baseline").stored()
    assert "--baseline FILE" in str(error.value)


def test_the_rounds_are_unknown_where_a_report_does_not_say_them() -> None:
    assert rounds(report()) == 30
    assert rounds(report(sampling=None)) is None
