"""The benchmarks of random graphs and of onnx's own tests, on a few of each: lossless passes change nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.heavy

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SEEDS = range(60)
SMOKE = range(1000, 1060)


@pytest.fixture(scope="module", autouse=True)
def on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return importlib.import_module("graph_generator")


@pytest.fixture(scope="module")
def trials() -> ModuleType:
    return importlib.import_module("graph_trials")


@pytest.fixture(scope="module")
def nodes() -> ModuleType:
    return importlib.import_module("node_trials")


def test_graphs_are_valid_varied_and_the_same_each_time(generator: ModuleType) -> None:
    graphs = [generator.generate(seed) for seed in SEEDS]
    for graph in graphs:
        onnx.checker.check_model(graph.model, full_check=True)
    assert [g.model.SerializeToString() for g in graphs[:5]] == [
        generator.generate(seed).model.SerializeToString() for seed in range(5)
    ]
    assert len({node.op_type for graph in graphs for node in graph.model.graph.node}) >= 70
    assert {graph.model.opset_import[0].version for graph in graphs} == set(range(11, 23))
    assert any(len(graph.model.graph.output) > 2 for graph in graphs)
    readers = [[name for node in graph.model.graph.node for name in node.input] for graph in graphs]
    shared = [
        any(read.count(t.name) > 1 for t in g.model.graph.initializer) for g, read in zip(graphs, readers, strict=True)
    ]
    assert sum(shared) > len(graphs) / 3


@pytest.mark.parametrize("first", range(SMOKE.start, SMOKE.stop, 20))
def test_lossless_passes_change_no_random_graph(first: int, trials: ModuleType, tmp_path: Path) -> None:
    chains = ("simplify", "fuse")
    for seed in range(first, first + 20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        subject = trials.prepare(trials.generate(seed), folder)
        if isinstance(subject, str):
            continue
        chain = chains[seed % 2]
        (folder / "out").mkdir()
        assert (seed, trials.attempt(subject, trials.CHAINS[chain], folder / "out")) == (seed, trials.Verdict("right"))


def test_a_wrong_scale_is_wrong(trials: ModuleType, tmp_path: Path) -> None:
    subject = trials.prepare(trials.generate(3), tmp_path)
    scaled = [{name: (a * np.float32(2)).astype(a.dtype) for name, a in each.items()} for each in subject.expected]
    assert trials.unsafe(subject, subject.expected) is None
    assert trials.unsafe(subject, scaled) is not None
    assert trials.inexact(subject, scaled) is not None


def test_onnx_own_tests_answer_as_before(nodes: ModuleType, tmp_path: Path) -> None:
    folders = sorted(nodes.DATA.glob("[ps]*/test_*"))[::4]
    outcomes = {}
    for folder in folders:
        (tmp_path / folder.name).mkdir()
        outcomes[folder.name] = nodes.attempt(nodes.stored(folder), tmp_path / folder.name)
    run = {name: found for name, found in outcomes.items() if "source" not in found}
    assert len(run) >= 15
    assert {name: found for name, found in run.items() if set(found.values()) != {("right", "")}} == {}


def test_what_onnx_tests_may_answer_is_compared(nodes: ModuleType) -> None:
    one, nan = np.float32([1, 2]), np.float32([np.nan, 2])
    assert nodes.difference([one, [nan, None]], [one.copy(), [nan.copy(), None]]) is None
    for pair in ((one, nan), ([one], [one, one]), (None, one), (one, one.astype(np.float64)), ({1: one}, {1: nan})):
        assert nodes.difference(*pair) is not None
