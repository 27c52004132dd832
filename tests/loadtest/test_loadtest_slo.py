"""The limits of a service as text."""

from __future__ import annotations

import pytest

from mlopt.core.errors import GateError
from mlopt.gate.limits import Gate
from mlopt.loadtest import slo


def test_a_limit_has_a_time_with_its_unit_or_a_share() -> None:
    found = slo.parse_slo("p99=100ms, p50=0.5s,p95=900us,error_rate=0.1%")
    assert [(gate.metric, gate.max) for gate in found] == [
        ("serving.p99_ms", 100.0), ("serving.p50_ms", 500.0), ("serving.p95_ms", pytest.approx(0.9)),
        ("serving.error_rate", 0.001),
    ]  # fmt: skip
    assert slo.parse_slo("error_rate=0.02")[0].max == 0.02


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("p99=100", "this is no time"),
        ("p99=0ms", "this is no time"),
        ("p99<=100ms", "there is no such limit|this is no limit"),
        ("p99", "there is no such limit|this is no limit|this is no time"),
        ("", "this is no limit"),
        ("p98=10ms", "there is no such limit"),
        ("error_rate=3", "this is no share"),
        ("error_rate=101%", "this is no share"),
        ("p99=10ms,p99=20ms", "one figure has two limits"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, what: str) -> None:
    with pytest.raises(GateError, match=what):
        slo.parse_slo(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(GateError) as caught:
        slo.parse_slo("p98=10ms,error_rate=x,p99=1ms")
    assert len(caught.value.problems) == 2


def test_a_gate_that_no_load_answers_is_refused_before_any() -> None:
    with pytest.raises(GateError, match="measures a server"):
        slo.check_gates([Gate(metric="latency.p50_ms", max=1.0)], ramp=False)
    highest = [Gate(metric="serving.rps_at_slo", min=100.0)]
    with pytest.raises(GateError, match="takes a search") as caught:
        slo.check_gates(highest, ramp=False)
    assert "--ramp" in str(caught.value)
    slo.check_gates(highest, ramp=True)


def test_which_limits_say_whether_a_rate_is_kept() -> None:
    gates = (*slo.parse_slo("p99=100ms,p50=20ms,error_rate=1%"), Gate(metric="serving.rps_at_slo", min=1.0))
    assert slo.of_service(gates) == gates[:3]
    assert slo.latency_limits(gates) == ((0.99, 100.0), (0.5, 20.0))
    assert slo.loosest_ms(gates) == 100
    assert slo.latency_limits(gates[2:]) == ()
    assert slo.loosest_ms(gates[2:]) == 0
    assert slo.latency_limits([Gate(metric="serving.p99_ms", min=5.0)]) == ()
