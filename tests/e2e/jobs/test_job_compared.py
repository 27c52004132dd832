"""Job 10: two runs of one model, and what the second changed."""

from __future__ import annotations

import json

from small_graphs import write_classifier
from user_jobs import Job

BRIEFLY = ("--set", "measure.seconds=0.3", "--set", "gates=[{metric: fidelity.cosine, min: 0.9}]")


def test_two_runs_are_compared_in_words_figures_and_a_fresh_measurement(job: Job) -> None:
    model, data = write_classifier(job.folder)
    job.mlopt("optimize", model, "--data", data, "-o", "first", "--set", "passes=[simplify]", *BRIEFLY)
    job.mlopt("optimize", model, "--data", data, "-o", "second", *BRIEFLY)
    table = job.mlopt("diff", "first", "second").stdout
    assert "latency.p50_ms" in table
    assert "size" in table
    found = json.loads(job.mlopt("diff", "first", "second", "--json").stdout)
    assert {row["verdict"] for row in found["rows"]} <= {"better", "worse", "same", "unknown"}
    assert json.loads(job.mlopt("compare", "first", "second", "--data", data, "--json").stdout)
    fresh = json.loads(
        job.mlopt("bench", "second", "--against", "first", "--data", data, "--time", "0.3", "--json").stdout
    )
    assert fresh["speedup"]["ci95"][0] <= fresh["speedup"]["median"] <= fresh["speedup"]["ci95"][1]
