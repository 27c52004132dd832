"""Prometheus' text becomes counts; what is none is refused."""

from __future__ import annotations

import pytest
from rollout_world import A, B, metrics_text

from mlopt.core.errors import MeasureError
from mlopt.rollout.metrics_text import EMBEDDED, ENVOY, read
from mlopt.rollout.observed import Observed

SERVER = """\
# HELP mlopt_requests_total Requests.
# TYPE mlopt_requests_total counter
mlopt_requests_total{model="digits",digest="aa",code="200"} 90.0
mlopt_requests_total{model="digits",digest="aa",code="400"} 5.0
mlopt_requests_total{model="digits",digest="aa",code="503"} 3.0
mlopt_requests_total{model="digits",digest="aa",code="504"} 2.0
mlopt_requests_total{model="other",digest="aa",code="500"} 7.0
# TYPE mlopt_request_seconds histogram
mlopt_request_seconds_bucket{model="digits",digest="aa",le="0.01"} 60.0
mlopt_request_seconds_bucket{model="digits",digest="aa",le="0.1"} 95.0
mlopt_request_seconds_bucket{model="digits",digest="aa",le="+Inf"} 100.0
mlopt_request_seconds_count{model="digits",digest="aa"} 100.0
mlopt_request_seconds_sum{model="digits",digest="aa"} 3.5
# TYPE mlopt_shadow_answers_total counter
mlopt_shadow_answers_total{model="digits",digest="aa",result="same"} 8.0
mlopt_shadow_answers_total{model="digits",digest="aa",result="different"} 2.0
# TYPE mlopt_weight gauge
mlopt_weight{model="digits",digest="aa"} 0.9
"""
PROXY = """\
# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="stable"} 40
envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="stable"} 2
# TYPE envoy_cluster_upstream_rq_time histogram
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="stable",le="5"} 30
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="stable",le="10"} 42
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="stable",le="+Inf"} 42
"""


def test_a_server() -> None:
    (found,) = read(SERVER, EMBEDDED, {"model": "digits"}).items()
    assert found == ("aa", Observed(100, 5, (0.01, 0.1), (60, 35, 5), same=8, different=2))


def test_a_proxy() -> None:
    """Its times are whole milliseconds, so each may be one more or less."""
    (found,) = read(PROXY, ENVOY).items()
    assert found == ("stable", Observed(42, 2, (0.005, 0.01), (30, 12, 0), blur_s=0.001))


def test_what_the_tests_write_is_read_back() -> None:
    counts = {A: Observed(10, 1, (0.01,), (4, 6), same=1, failed=2), B: Observed(3)}
    assert read(metrics_text("digits", counts), EMBEDDED, {"model": "digits"}) == counts


@pytest.mark.parametrize("text", ["mlopt_requests_total{", 'mlopt_requests_total{digest="a"} x', "<html> </html>"])
def test_what_is_no_such_text_is_refused(text: str) -> None:
    with pytest.raises(MeasureError, match="no metrics"):
        read(text, EMBEDDED)


@pytest.mark.parametrize(
    ("buckets", "told"),
    [({"0.1": 3}, "no last bucket"), ({"0.1": 3, "+Inf": 2}, "fall from bucket to bucket")],
)
def test_a_histogram_that_is_none_is_refused(buckets: dict[str, int], told: str) -> None:
    lines = (f'mlopt_request_seconds_bucket{{digest="a",le="{edge}"}} {count}' for edge, count in buckets.items())
    with pytest.raises(MeasureError, match=told):
        read("\n".join(lines) + "\n", EMBEDDED)


def test_not_a_number_does_not_count() -> None:
    assert read('mlopt_requests_total{digest="a",code="500"} NaN\n', EMBEDDED) == {}
