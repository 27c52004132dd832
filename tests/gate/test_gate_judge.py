"""All gates are judged at once: what is undecided counts as its gate says, and the worst verdict is the overall one."""

from __future__ import annotations

from typing import Any

import pytest
from gate_evidence import report
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import GateError
from mlopt.gate.judge import judge, overall
from mlopt.gate.limits import Gate
from mlopt.results.report import GateVerdict

finite = st.floats(allow_nan=False, allow_infinity=False)


def one(gate: Gate, **changes: Any) -> GateVerdict:
    (verdict,) = judge([gate], report(**changes))
    return verdict


def test_a_figure_without_interval_is_compared_directly():
    assert one(Gate(metric="size_mb", max=4.3)).verdict == "pass"
    assert one(Gate(metric="size_mb", max=4.29)).verdict == "fail"


@pytest.mark.parametrize("counts_as", ["pass", "fail"])
def test_undecided_can_count_as_something_and_says_so(counts_as: Any):
    found = one(Gate(metric="latency.p95_ms", max=12, on_inconclusive=counts_as))
    assert (found.verdict, found.found, found.on_inconclusive) == (counts_as, "inconclusive", counts_as)
    assert found.message.endswith(f"Undecided counts as {counts_as} here (on_inconclusive: {counts_as}).")
    decided = Gate(metric="latency.p95_ms", max=11, on_inconclusive="pass")
    assert one(decided).verdict == "fail"
    assert "on_inconclusive" not in one(decided).message


def test_undecided_can_be_a_warning():
    found = one(Gate(metric="latency.p95_ms", max=12, on_inconclusive="warn"))
    assert (found.verdict, found.found, overall([found])) == ("pass", "inconclusive", "pass")
    assert found.message.endswith("Undecided counts as pass here, with a warning (on_inconclusive: warn).")


def test_all_errors_come_at_once():
    gates = [
        Gate(metric="accuracy.value", min=0.9),
        Gate(metric="size_mb", max=9),
        Gate(metric="fidelity.cosine", min=0),
    ]
    with pytest.raises(GateError) as error:
        judge(gates, report(final={"accuracy": None, "fidelity": None}))
    assert len(error.value.problems) == 2


def test_nothing_to_judge_is_an_error():
    for ask in (lambda: judge([], report()), lambda: overall([])):
        with pytest.raises(GateError, match="no gates"):
            ask()


@given(st.lists(st.sampled_from(["pass", "fail", "inconclusive"]), min_size=1))
def test_the_worst_verdict_is_the_overall_one(verdicts: list[Any]):
    judged = [GateVerdict(metric="m", limit="", value=1, ci95=None, n=1, verdict=v, message="") for v in verdicts]
    assert overall(judged) == max(verdicts, key=["pass", "inconclusive", "fail"].index)
