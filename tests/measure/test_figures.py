"""From samples to figures: rates, ratios against the right copy, and what a report says without a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from campaign_parts import PACE, measured, model
from deployables import in_runtime

from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.measure import figures
from mlopt.measure.candidate import Candidate, Measured
from mlopt.measure.figures import Roles, Subject
from mlopt.measure.statistics import noise_floor

ROLES = Roles("onnx_fp32", "onnx_fp32 (again)", "final")
HARDWARE = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return store(Samples({"x": np.zeros((8, 4), np.float32)}), tmp_path / "data", "made")


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Measured]:
    return {name: measured(Candidate(name, in_runtime(model(tmp_path, name.replace(" ", "_"))))) for name in PACE}


def test_throughput_counts_every_sample_of_every_client() -> None:
    assert figures.throughput(2.0, 1, 1) == 500
    assert figures.throughput(2.0, 8, 3) == 24 * 500


def test_a_candidate_is_described_under_its_load(tmp_path: Path, dataset: Dataset) -> None:
    crowd = measured(Candidate("crowd", in_runtime(model(tmp_path, "crowd"), 2), batch_size=4, concurrency=3))
    found = figures.timed(crowd, dataset, 0.05, "raw.json")
    assert (found.batch_size, found.options["threads"], found.options["concurrency"]) == (4, 2, 3)
    assert found.throughput_per_s == pytest.approx(1e3 * 12 / found.latency_ms.mean)
    assert (found.raw, found.accuracy, found.fidelity) == ("raw.json", None, None)
    alone = figures.timed(measured(replace(crowd.candidate, concurrency=1)), dataset, 0.05)
    assert "concurrency" not in alone.options


def test_a_fixed_batch_is_what_was_measured_whatever_was_asked_for(tmp_path: Path, dataset: Dataset) -> None:
    fixed = Candidate("fixed", in_runtime(model(tmp_path, "fixed", batch=2)), batch_size=16)
    assert figures.timed(measured(fixed), dataset, 0.05).batch_size == 2


def test_a_model_is_compared_with_the_first_copy_and_the_base_with_the_second(run: dict[str, Measured]) -> None:
    found = figures.speedup(run, "onnx_fp32", "final", ROLES, 0.05)
    assert found.median == pytest.approx(2.0, rel=0.05)
    assert found.vs == "onnx_fp32"
    copies = run["onnx_fp32"].blocks, run["onnx_fp32 (again)"].blocks
    assert found.noise_floor == noise_floor(*copies, 0.05)
    alone = figures.speedup(run, "onnx_fp32", "onnx_fp32", ROLES, 0.05)
    assert alone.ci95 == alone.control == found.control
    against = figures.speedup(run, "torch_eager", "final", ROLES, 0.05)
    assert (against.vs, against.noise_floor) == ("torch_eager", found.noise_floor)


def test_how_it_was_sampled_is_told_by_the_lesser_of_baseline_and_result(run: dict[str, Measured]) -> None:
    shorter = replace(run["final"], blocks=run["final"].blocks[:14])
    so_far = figures.sampling_so_far({**run, "final": shorter}, ROLES, 3)
    assert (so_far.rounds, so_far.looks, so_far.looks_planned) == (7, 1, 3)


def test_a_report_of_latencies_judges_nothing(run: dict[str, Measured], dataset: Dataset) -> None:
    described = {name: figures.timed(run[name], dataset, 0.05) for name in ("torch_eager", "onnx_fp32", "final")}
    subject = Subject("net", "latency", ROLES, HARDWARE)
    found = figures.report(subject, described, run, ("torch_eager", "onnx_fp32"), 0.05)
    assert (found.verdict, found.gates, found.steps, found.accuracy_drop) == ("inconclusive", (), (), None)
    assert (found.baseline.name, found.final.name) == ("onnx_fp32", "final")
    assert found.speedup == found.speedups["onnx_fp32"]
    assert set(found.references) == set(found.speedups) == {"torch_eager", "onnx_fp32"}
