"""Whether to believe a report, in words."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example_report

from mlopt.report import facts, trust
from mlopt.results.figures import Sampling
from mlopt.results.report import GateVerdict


def sampling(**changes: Any) -> Sampling:
    return Sampling(rounds=10, looks=1, looks_planned=3, stopped="decided", seconds=41.2).model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "10 rounds, 1 look, decided; noise floor 3.1 %"),
        ({"looks": 3, "stopped": "looks", "rounds": 90}, "90 rounds, 3 looks, undecided; noise floor 3.1 %"),
        ({"looks": 2, "stopped": "time", "rounds": 1}, "1 round, 2 looks, time spent; noise floor 3.1 %"),
    ],
)
def test_the_sampling_in_a_line(changes: dict[str, Any], line: str) -> None:
    assert trust.sampling_line(example_report(sampling=sampling(**changes))) == line


def test_without_gates_nothing_is_called_decided() -> None:
    report = example_report(sampling=sampling(looks_planned=1), gates=())
    assert trust.sampling_line(report) == "10 rounds, 1 look, no gates; noise floor 3.1 %"
    rows = dict(trust.sampling_rows(report))
    assert rows["Stopped"] == "no gate asked for more, after 41.2 s"
    assert rows["Looks"] == "1, planned before the run"


def test_a_report_that_does_not_say_how_it_was_sampled() -> None:
    report = example_report(sampling=None)
    assert trust.sampling_line(report) is None
    assert [label for label, _ in trust.sampling_rows(report)] == ["A/A control"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.26, "4.26 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (94.2, "1 min 34 s")]
)
def test_a_duration(seconds: float, text: str) -> None:
    assert trust.duration(seconds) == text


@pytest.mark.parametrize(
    ("control", "bad"),
    [(None, False), ((0.98, 1.03), False), ((1.0, 1.03), False), ((1.001, 1.03), True), ((0.9, 0.99), True)],
)
def test_a_control_that_excludes_1_is_a_warning(control: tuple[float, float] | None, bad: bool) -> None:
    report = example_report()
    speedup = report.speedup.model_copy(update={"control": control})
    assert (trust.warning(example_report(speedup=speedup, speedups={})) is not None) is bad
    assert ("must not" in trust.control(speedup)) is bad


@pytest.mark.parametrize(("floor", "said"), [(0.25, None), (0.26, "up to 26 %"), (1.68, "up to 168 %")])
def test_a_noisy_run_is_a_warning(floor: float, said: str | None) -> None:
    noisy = example_report().speedup.model_copy(update={"noise_floor": floor})
    found = trust.warning(example_report(speedup=noisy))
    assert (
        found is None
        if said is None
        else found.startswith(f"This machine was busy: two copies of one model differed by {said}.")
    )
    doubted = noisy.model_copy(update={"control": (1.01, 1 + floor)})
    assert "not to be trusted" in trust.warning(example_report(speedup=doubted)), "the graver one is said"


def test_a_control_of_any_reference_is_a_warning() -> None:
    report = example_report()
    doubted = report.speedup.model_copy(update={"control": (1.01, 1.02)})
    assert trust.warning(example_report(speedups={"torch_eager": doubted})) is not None


def gate(**changes: Any) -> GateVerdict:
    return example_report().gates[0].model_copy(update=changes)


@pytest.mark.parametrize(
    ("verdict", "found", "text", "role", "listed"),
    [
        ("pass", "pass", "pass", "good", False),
        ("pass", None, "pass", "good", False),
        ("fail", "fail", "fail", "bad", True),
        ("inconclusive", "inconclusive", "inconclusive", "warn", True),
        ("pass", "inconclusive", "undecided, counts as pass", "warn", True),
        ("fail", "inconclusive", "undecided, counts as fail", "bad", True),
    ],
)
def test_the_tag_of_a_gate(verdict: str, found: str | None, text: str, role: str, listed: bool) -> None:
    one = gate(verdict=verdict, found=found, on_inconclusive="warn" if found != verdict else None)
    assert trust.mark(one) == trust.Mark(text, role)
    assert trust.open_gates(example_report(gates=(one,))) == ((one,) if listed else ())


def test_the_interval_that_was_judged_goes_before_the_95_percent_one() -> None:
    assert trust.judged(gate(confidence=0.999, interval=(-0.5, 0.6), ci95=(-0.2, 0.3))) == ("-0.5 to 0.6", "99.9 %")
    assert trust.judged(gate(confidence=0.999, interval=None, ci95=(-0.2, 0.3))) == ("-0.2 to 0.3", "95 %")
    assert trust.judged(gate(interval=None, ci95=None)) == ("", "")


def test_a_cold_start_is_told_where_it_was_measured() -> None:
    assert trust.cold_start(example_report()) == (
        ("onnx_fp32", "load 14.2 ms, first inference 2.31 ms"),
        ("final", "load 14.2 ms, first inference 2.31 ms"),
    )


def test_a_run_that_is_off_by_little_is_said_to_be_off_by_little() -> None:
    """On a quiet machine two copies of one model easily come out 1 % apart for certain."""
    slight = example_report().speedup.model_copy(update={"control": (1.0017, 1.0184)})
    said = str(trust.warning(example_report(speedup=slight)))
    assert said.startswith("Two copies of one model came out 1.0017x to 1.0184x as fast as each other")
    assert "may be off by 1.8 %" in said
    assert "not to be trusted" not in "".join(figure.detail for figure in facts.figures(example_report(speedup=slight)))


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (">= 1.2 vs onnx_fp32", (">=", 1.2)), ("<= .5", ("<=", 0.5)), ("<= -3e-2 on AMD*", ("<=", -0.03)),
        (">= 1.2.3", None), (">= ...", None), (">= 1e999", None), ("1.2", None), ("", None), (">= 3x", None),
    ],
)  # fmt: skip
def test_a_limit_is_read_or_is_none(limit: str, found: tuple[str, float] | None) -> None:
    assert trust.limit(example_report().gates[0].model_copy(update={"limit": limit})) == found
