"""The side of measuring in the candidate's process: what is timed, with which samples, and by how many clients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench_models import dense
from deployables import in_runtime

from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import bench
from mlopt.measure.bench import Bench, feeds_of
from mlopt.measure.candidate import Candidate


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    values = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    return store(Samples({"x": values}), tmp_path_factory.mktemp("samples"), "random")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_onnx(dense(tmp_path_factory.mktemp("model") / "dense.onnx", width=8))


def test_all_clients_share_the_samples_that_are_asked_for(model: Model, samples: Dataset) -> None:
    opened = Bench(Candidate("crowd", in_runtime(model), concurrency=3), samples)
    assert len(opened.block(1e-9, 10, settle=False)) == 12


def test_warming_up_ends_when_it_gets_no_faster(model: Model, samples: Dataset) -> None:
    opened = Bench(Candidate("one", in_runtime(model)), samples)
    windows = iter([8.0, 4.0, 2.0, 1.95, 1.94, 0.5])
    asked: list[tuple[float, int]] = []

    def block(seconds: float, least: int, settle: bool) -> list[float]:
        asked.append((seconds, least))
        return [next(windows)]

    opened.block = block  # type: ignore[method-assign]
    opened.warm_up()
    assert asked == [(0.1, 3)] * 5


def test_feeds_are_the_first_batches_in_memory(model: Model, samples: Dataset) -> None:
    feeds = feeds_of(Candidate("one", in_runtime(model), batch_size=8), samples)
    assert [feed["x"].shape for feed in feeds][:2] == [(8, 8), (8, 8)]
    np.testing.assert_array_equal(feeds[0]["x"], samples.inputs["x"][:8])
    assert not any(isinstance(feed["x"], np.memmap) for feed in feeds)
    assert len(feeds_of(Candidate("one", in_runtime(model)), samples)) == 16


def test_a_block_ends_with_its_time_but_not_before_its_least_count(model: Model, samples: Dataset) -> None:
    opened = Bench(Candidate("one", in_runtime(model)), samples)
    assert len(opened.block(1e-9, 7, settle=False)) == 7
    times = opened.block(0.01, 1, settle=True)
    assert len(times) > 1
    assert min(times) > 0
    assert len(opened.block(60, 1, settle=False)) == 2000  # so many, whatever the time


def test_a_cold_start_tells_loading_from_the_first_answer(model: Model, samples: Dataset) -> None:
    cold = Bench(Candidate("one", in_runtime(model)), samples).cold_start()
    assert cold.load_ms > 0
    assert cold.first_ms > 0


def test_a_library_that_is_missing_is_left_to_opening_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening says which one and what to install; imported beforehand, it would only be a traceback."""
    tried: list[str] = []

    def absent(name: str = "its own way") -> None:
        tried.append(name)
        raise ImportError(name)

    known = bench.runtime_named("onnxruntime")
    monkeypatch.setattr(bench.importlib, "import_module", absent)
    for runtime in (replace(known, library=None), replace(known, library=absent)):
        monkeypatch.setattr(bench, "runtime_named", lambda _name, found=runtime: found)
        bench.import_runtime("onnxruntime")
    assert tried == ["onnxruntime", "its own way"]
