"""What a run says of the one whose artifact it replaced."""

from __future__ import annotations

from gate_evidence import ACCURACY, ENVIRONMENT, SPEEDUP, report

from mlopt.report.replaced import told
from mlopt.results.report import Cpu


def test_faster_smaller_and_more_accurate_with_intervals() -> None:
    quick = SPEEDUP.model_copy(update={"median": 2.72, "ci95": (2.62, 2.84)})
    better = ACCURACY.model_copy(update={"value": 0.998, "ci95": (0.992, 0.9995)})
    new = report(final={"size_bytes": 2_150_000, "accuracy": better}, speedup=quick)
    head, speed, size, quality = told(report(), new, 3)
    assert head == "compared with version 3, which this replaces (2026-11-23T14:20:11Z):"
    assert speed.startswith("  faster: 2.000x as fast (1.")
    assert size == "  50.0 % smaller: 2.15 MB, was 4.30 MB"
    assert quality.startswith("  accuracy is higher: +1.80 pt (")
    back = [*told(new, report(), 4)]
    assert back[1].startswith("  slower: 0.500x as fast (0.4")
    assert back[2] == "  100.0 % larger: 4.30 MB, was 2.15 MB"
    assert back[3].startswith("  accuracy is lower: -1.80 pt (")


def test_what_did_not_move_is_said_to_be_the_same() -> None:
    _, speed, size, quality = told(report(), report(), 1)
    assert speed.startswith("  no measurable difference in speed: 1.000x as fast (")
    assert size == "  the same size: 4.30 MB"
    assert quality == "  the same accuracy: 0.98"


def test_hardware_that_differs_is_named_in_place_of_a_number() -> None:
    intel = ENVIRONMENT.model_copy(update={"cpu": Cpu(model="Intel Xeon", isa=("avx2", "fma"), cores=2)})
    lines = [*told(report(environment=intel), report(), 1)]
    assert lines[1] == "  speed is not compared: CPU was Intel Xeon, is AMD EPYC 7763"


def test_other_samples_and_a_metric_that_is_absent() -> None:
    other = {"evaluation": {"source": "x.npz", "samples": 5, "digest": "another"}}
    assert "  accuracy is not compared: the evaluation data's digest was" in [*told(report(data=other), report(), 1)][3]
    bare = report(final={"accuracy": None})
    assert [*told(bare, bare, 1)][3].startswith("  the same cosine similarity: 0.998")


def test_an_artifact_of_another_recipe_is_not_compared() -> None:
    (line,) = told(report(name="other\x1b[31m"), report(), 2)
    assert line == "replaced version 2, which was of another recipe (other\ufffd[31m) and is not compared"
