"""How far a figure moved between two reports, and when it is not compared at all."""

from __future__ import annotations

from gate_evidence import DATA, ENVIRONMENT, candidate, report

from mlopt.report import change
from mlopt.report.difference import environment_differences


def test_every_difference_of_the_environment_is_said():
    other = ENVIRONMENT.model_copy(
        update={
            "python": "3.12.1",
            "os": "Windows",
            "gpu": "L4",
            "mlopt": "0.3.0",
            "packages": {"torch": "2.13"},
        }
    )
    assert environment_differences(ENVIRONMENT, other) == (
        "GPU was none, is L4", "OS was Linux, is Windows", "Python was 3.11.7, is 3.12.1",
        "mlopt was 0.2.0, is 0.3.0", "onnxruntime was 1.32.0, is not installed", "torch was not installed, is 2.13",
    )  # fmt: skip
    assert environment_differences(ENVIRONMENT, ENVIRONMENT) == ()


def test_a_model_that_is_the_same_lost_nothing_and_others_are_compared_on_equal_samples() -> None:
    assert change.accuracy_change(report(), report()) == change.Change(0.0)
    other = {"evaluation": DATA["evaluation"] | {"digest": "f" * 64}}
    found = change.accuracy_change(report(), report(data=other))
    assert found.value is None
    assert "the evaluation data's digest was eeeeeeeeeeee, is ffffffffffff" in (found.reason or "")


def test_a_size_is_exact_and_a_size_of_nothing_is_no_measure() -> None:
    small, large, empty = (candidate("m", size_bytes=size) for size in (100, 400, 0))
    assert change.size_change(large, small) == change.Change(0.25)
    assert change.size_change(empty, small).value is None


def test_what_two_models_were_run_with_is_compared_key_by_key() -> None:
    one = candidate("m", options={"threads": 2}, batch_size=1)
    other = candidate("m", options={"threads": 4}, batch_size=8)
    assert change.other_load(one, other) == "threads was 2, is 4; batch size was 1, is 8"
    assert change.other_load(one, one) is None


def test_an_error_rate_that_a_stranger_made_absurd_keeps_a_quantile() -> None:
    many = report().sampling.model_copy(update={"looks_planned": 10**15})
    assert change.looks(report(sampling=many)) == 1000
    assert change.looks(report(sampling=None)) == 1


def test_of_results_only_what_was_asked_of_them_is_compared() -> None:
    one = candidate("m", options={"threads": 2, "graph_optimization": "all"})
    other = candidate("m", options={"threads": 2, "precision": "bf16"}).model_copy(update={"runtime": "openvino"})
    assert change.other_work(one, other) is None
    assert change.other_work(one, candidate("m", options={"threads": 4})) == "threads was 2, is 4"
    assert change.other_load(one, other) is not None
