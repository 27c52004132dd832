"""Each gate's limit, interval and value as shares of its row."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example_report

from mlopt.report import gate_rows
from mlopt.results.report import GateVerdict

ANY = st.floats(-1e12, 1e12)


def test_the_value_lies_on_the_side_of_the_limit_that_it_is_on() -> None:
    for row, gate in zip(gate_rows.rows(example_report()), example_report().gates, strict=True):
        if row.dot is None or row.allowed is None:
            assert gate.value is None
            continue
        inside = row.allowed[0] <= row.dot <= row.allowed[1]
        assert gate.verdict != "pass" or inside or gate.found == "inconclusive"
        assert gate.verdict != "fail" or not inside


def test_the_interval_that_was_judged_is_drawn() -> None:
    gate = example_report().gates[1]
    wide = gate.model_copy(update={"interval": (1.1, 2.5)})
    one, two = (gate_rows.rows(example_report(gates=(each,)))[0] for each in (gate, wide))
    assert (one.interval, two.interval) == ("1.69 to 1.88 (99 %)", "1.1 to 2.5 (99 %)")
    assert one.span != two.span


@settings(max_examples=50, deadline=None)
@given(
    value=ANY,
    limit=st.from_regex(r"(<=|>=) ?[-+]?[0-9]{1,5}(\.[0-9]{1,4})?( vs x)?", fullmatch=True) | st.text(max_size=9),
)
def test_any_gate_can_be_drawn(value: float, limit: str) -> None:
    gate = GateVerdict(metric="m", limit=limit, value=value, ci95=None, n=None, verdict="pass", message="")
    (row,) = gate_rows.rows(example_report(gates=(gate,)))
    assert row.mark.text == "pass"
    assert all(0 <= end <= 1 for end in (*(row.allowed or ()), *(row.span or ()), row.dot or 0.0, row.bound or 0.0))
