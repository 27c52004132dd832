"""Gates on a server from a scrape: percentiles lie between bounds, errors have an interval, too few decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from mlopt.core.errors import GateError
from mlopt.gate.limits import Gate
from mlopt.gate.scrape import ANSWERED, Served, judge_scrape, served
from mlopt.gate.text import parse_gate

BUCKETS = tuple(0.001 * 1.15**step for step in range(60))


def scrape(seconds: Sequence[float], errors: int = 0, **labels: str) -> str:
    registry = CollectorRegistry()
    names = {"model": "m", "digest": "d", **labels}
    requests = Counter("mlopt_requests", "Requests", (*names, "code"), registry=registry)
    times = Histogram("mlopt_request_seconds", "Seconds", tuple(names), registry=registry, buckets=BUCKETS)
    for number, each in enumerate(seconds):
        requests.labels(*names.values(), "503" if number < errors else "200").inc()
        times.labels(*names.values()).observe(each)
    return generate_latest(registry).decode()


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(-4.0, 0.5, count)


def only(text: str, **more: object) -> Served:
    """What is said of the only model."""
    (found,) = served(text, "here", **more).values()  # type: ignore[arg-type]
    return found


@cache
def usual(seed: int) -> Served:
    """What a server with latencies of this seed did, in 2,000 requests."""
    return only(scrape(drawn(2000, seed)))


def verdict(gate: str, text: str, **more: object) -> tuple[str, str]:
    (found,) = judge_scrape([parse_gate(gate)], only(text, **more))
    return found.verdict, found.message


@pytest.mark.parametrize(
    ("metric", "share"), [("serving.p50_ms", 0.5), ("serving.p95_ms", 0.95), ("serving.p99_ms", 0.99)]
)
def test_the_truth_lies_in_the_interval_and_the_interval_is_not_wide(metric: str, share: float) -> None:
    truth, held = 1e3 * np.quantile(drawn(10**6, 99), share), 0
    for seed in range(40):
        (found,) = judge_scrape([Gate(metric=metric, max=1.0)], usual(seed))
        assert found.interval is not None
        assert found.interval[1] < 1.9 * found.interval[0]
        held += found.interval[0] <= truth <= found.interval[1]
    assert held >= 38


def test_a_limit_is_met_broken_or_undecided() -> None:
    text = scrape(drawn(5000))
    p99 = 1e3 * np.quantile(drawn(5000), 0.99)
    assert verdict(f"serving.p99_ms <= {2 * p99:.3f}", text)[0] == "pass"
    assert verdict(f"serving.p99_ms <= {p99 / 2:.3f}", text)[0] == "fail"
    assert verdict(f"serving.p99_ms <= {p99:.3f}", text)[0] == "inconclusive"


@pytest.mark.parametrize(("errors", "limit", "expected"), [
    (0, 0.01, "pass"), (0, 0.0001, "inconclusive"), (100, 0.01, "fail"), (22, 0.01, "inconclusive"),
])  # fmt: skip
def test_an_error_rate_has_its_interval(errors: int, limit: float, expected: str) -> None:
    assert verdict(f"serving.error_rate <= {limit}", scrape(drawn(2000), errors))[0] == expected


def test_too_few_requests_decide_nothing() -> None:
    found, message = verdict("serving.p99_ms <= 1000", scrape(drawn(50)))
    assert found == "inconclusive"
    assert "50 requests have no 99% percentile" in message


def test_what_lies_beyond_the_last_bucket_is_at_least_so_much() -> None:
    text = scrape([100.0] * 500)
    found, message = verdict("serving.p99_ms <= 1000", text)
    assert found == "fail"
    assert "at least" in message
    assert verdict("serving.p99_ms <= 1000000", text)[0] == "inconclusive"


def test_with_an_earlier_scrape_what_is_between_counts() -> None:
    before, after = drawn(1000), [*drawn(1000), *[0.5] * 1000]
    assert verdict("serving.p50_ms <= 100", scrape(after), earlier=scrape(before))[0] == "fail"
    with pytest.raises(GateError, match="began anew"):
        served(scrape(before), "here", earlier=scrape(after))


def test_versions_of_a_model_count_together_and_models_do_not() -> None:
    text = scrape(drawn(1000)) + scrape([0.5] * 100, digest="e") + scrape([0.5] * 1000, errors=9, model="slow")
    found = served(text, "here")
    assert {model: (each.answers, each.errors) for model, each in found.items()} == {"m": (1100, 0), "slow": (1000, 9)}
    limit = [parse_gate("serving.p50_ms <= 100")]
    verdicts = {model: judge_scrape(limit, each)[0].verdict for model, each in found.items()}
    assert verdicts == {"m": "pass", "slow": "fail"}


def test_a_bad_model_that_is_asked_rarely_is_not_hidden_by_a_good_one() -> None:
    text = scrape([0.01] * 14_000) + scrape([0.5] * 100, errors=50, model="rare")
    gates = [parse_gate("serving.p99_ms <= 100"), parse_gate("serving.error_rate <= 0.01")]
    together = only(text.replace('model="rare"', 'model="m"'))
    assert [one.verdict for one in judge_scrape(gates, together)] == ["pass", "pass"]
    assert [one.verdict for one in judge_scrape(gates, served(text, "here")["rare"])] == ["fail", "fail"]


def test_models_that_are_named_are_read_alone() -> None:
    text = scrape(drawn(100)) + scrape([0.5] * 50, model="other")
    assert [*served(text, "here", models=["other"])] == ["other"]
    assert [*served(text, "here", models=["other", "m"])] == ["m", "other"]
    with pytest.raises(GateError, match="says nothing of this model") as caught:
        served(text, "here", models=["m", "othr"])
    assert "'m', 'other'" in str(caught.value)
    assert "--model othr" in str(caught.value)


def test_a_server_that_names_no_model_is_read_as_one() -> None:
    text = scrape(drawn(100)).replace("model=", "of=")
    assert served(text, "here")[""].answers == 100
    with pytest.raises(GateError, match="it names none"):
        served(text, "here", models=["m"])


def test_what_is_missing_of_one_model_is_named() -> None:
    text = scrape(drawn(100)) + 'mlopt_requests_total{code="200",model="half"} 3\n'
    with pytest.raises(GateError, match="nothing of requests") as caught:
        served(text, "here")
    assert "here, model half" in str(caught.value)
    assert served(text, "here", models=["m"])["m"].answers == 100


def test_of_two_scrapes_each_model_has_what_lies_between() -> None:
    before = scrape(drawn(1000)) + scrape([0.5] * 10, model="idle")
    after = scrape([*drawn(1000), *[0.5] * 1000]) + scrape([0.5] * 10, model="idle") + scrape([0.01] * 5, model="new")
    found = served(after, "here", earlier=before)
    assert {model: each.answers for model, each in found.items()} == {"m": 1000, "idle": 0, "new": 5}
    (idle,) = judge_scrape([parse_gate("serving.error_rate <= 0.5")], found["idle"])
    assert idle.verdict == "inconclusive"
    assert "no request was answered" in idle.message
    with pytest.raises(GateError, match="began anew") as caught:
        served(scrape(drawn(1000)), "here", earlier=before)
    assert "model idle" in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "up 1\n", 'mlopt_requests_total{code="200"} 3\n'])
def test_a_scrape_without_requests_is_no_pass(text: str) -> None:
    with pytest.raises(GateError, match="nothing of requests"):
        served(text, "here")


@pytest.mark.parametrize("text", [
    'mlopt_requests_total{code="200"} 1.5\n', 'mlopt_requests_total{code="200"} -1\n',
    'mlopt_requests_total{code="200"} NaN\n', 'mlopt_requests_total{code="200"} +Inf\n',
    'mlopt_request_seconds_bucket{le="x"} 1\n', "mlopt_request_seconds_bucket 1\n",
])  # fmt: skip
def test_counters_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(GateError):
        served(text, "here")


@pytest.mark.parametrize(
    "gate", ["serving.rps_at_slo >= 10", "latency.p99_ms <= 3", "speedup.median >= 1 vs onnx_fp32"]
)
def test_what_a_scrape_does_not_answer_is_an_error(gate: str) -> None:
    with pytest.raises(GateError, match="a scrape does not answer") as caught:
        judge_scrape([parse_gate(gate)], only(scrape(drawn(100))))
    assert ANSWERED[0] in str(caught.value)
    with pytest.raises(GateError, match="no gates"):
        judge_scrape([], only(scrape(drawn(100))))


def test_a_confidence_of_its_own_is_kept() -> None:
    found = only(scrape(drawn(2000), 10))
    sure = judge_scrape([Gate(metric="serving.error_rate", max=0.02, confidence=0.999)], found)[0]
    usual = judge_scrape([Gate(metric="serving.error_rate", max=0.02)], found)[0]
    assert sure.interval is not None
    assert usual.interval is not None
    assert sure.interval[1] > usual.interval[1]
    assert sure.ci95 == usual.interval
    undecided = Gate(metric="serving.error_rate", max=0.005, on_inconclusive="fail")
    assert judge_scrape([undecided], found)[0].verdict == "fail"
