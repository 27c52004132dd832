"""The scrape: names, labels and buckets as documented, and read by Prometheus's own parser."""

from __future__ import annotations

from itertools import pairwise

from scraped import Scrape

from mlopt.serve.metrics import Metrics, buckets


def test_buckets_are_dense_enough_to_read_percentiles_from() -> None:
    bounds = buckets()
    assert bounds[0] == 1e-4
    assert bounds[-1] >= 60
    assert all(1.1 < after / before < 1.16 for before, after in pairwise(bounds))


def test_all_names_and_labels() -> None:
    metrics, rows = Metrics(), 3
    metrics.request("m", "d", 200, 0.01)
    metrics.request("m", "d", 504, 1.0)
    metrics.execution("m", "d", 7, 0.002)
    metrics.queue("m", lambda: rows)
    metrics.in_flight(lambda: 2)
    metrics.weights("m", ["d", "e"], {"d": 90.0})
    metrics.shadow("m", "e", "different")
    metrics.not_mirrored("m", "e")
    metrics.cached("m", hit=True)
    metrics.cached("m", hit=False)
    metrics.sketched("m", "d", 5)
    metrics.fell_back("m", "d")
    found, version = Scrape(metrics.text()), {"model": "m", "digest": "d"}
    assert found("mlopt_requests_total", **version, code=200) == found("mlopt_requests_total", code=504) == 1
    assert found("mlopt_request_seconds_count", **version) == 2
    assert found("mlopt_execution_seconds_count", **version) == found("mlopt_executions_total", **version) == 1
    assert found("mlopt_rows_total", **version) == 7
    assert (found("mlopt_queue_rows", model="m"), found("mlopt_in_flight_requests")) == (3, 2)
    assert (found("mlopt_weight", **version), found("mlopt_weight", model="m", digest="e")) == (0.9, 0)
    assert found("mlopt_shadow_answers_total", model="m", digest="e", result="different") == 1
    assert found("mlopt_shadow_dropped_total", model="m", digest="e") == 1
    assert found("mlopt_cache_total", model="m", result="hit") == found("mlopt_cache_total", result="miss") == 1
    assert found("mlopt_sketch_rows", **version) == 5
    assert found("mlopt_fallbacks_total", **version) == 1
    assert not [name for name, _, _ in found.samples if name.endswith("_created")]
