"""What ``mlopt bench`` measures: the report it makes, what is refused beforehand, and what survives a lost model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from bench_models import broken, dense, saved
from deployables import in_runtime

from mlopt.bench.benchmark import BenchRequest, Result, _candidates, _places, named, run
from mlopt.core.errors import DataError, GateError, MeasureError, MloptError, ModelError
from mlopt.formats.onnx.file import open_onnx
from mlopt.gate.judge import judge
from mlopt.gate.limits import Gate
from mlopt.measure.candidate import Candidate
from mlopt.results.report import Report
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.openvino_options import OpenVinoOptions

pytestmark = pytest.mark.process

pytestmark = pytest.mark.process

QUICK = BenchRequest(models=(), threads=(1,), seconds=0.1, max_time=5.0)


Said = list[tuple[str, str, float | None]]


@pytest.fixture(scope="module", autouse=True)
def own_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Do not wait for other measurements on this machine: nothing here depends on exact times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("own")))
        yield


def measured(*models: Path, said: Said | None = None, **changes: object) -> Result:
    heard = [] if said is None else said
    return run(replace(QUICK, models=models, **changes), lambda *words: heard.append(words))


def report(result: Result) -> Report:
    assert result.report is not None
    return result.report


def refused(kind: type[MloptError], *models: Path, **changes: object) -> MloptError:
    with pytest.raises(kind) as caught:
        measured(*models, **changes)
    return caught.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    return dense(folder / "small.onnx", layers=2)


@dataclass(frozen=True)
class Race:
    """Three models of 40, 20 and one layer, with gates on the last."""

    slow: Path
    middle: Path
    fast: Path
    gates: tuple[Gate, ...]
    result: Result
    said: Said


@pytest.fixture(scope="module")
def race(folder: Path) -> Race:
    slow, middle, fast = (dense(folder / f"{n}.onnx", layers=n, width=128) for n in (40, 20, 1))
    gates = (
        Gate(metric="speedup.median", min=1.2),
        Gate(metric="speedup.median", max=1.2, vs=str(middle)),
        Gate(metric="latency.p50_ms", max=1000, confidence=0.9),
    )
    said: Said = []
    return Race(slow, middle, fast, gates, measured(middle, fast, against=slow, gates=gates, said=said), said)


@pytest.fixture(scope="module")
def alone(small: Path) -> Result:
    return measured(small, operators=True)


def test_the_last_model_is_judged_against_the_first(race: Race) -> None:
    found = report(race.result)
    assert [found.baseline.name, found.final.name] == [str(race.slow), str(race.fast)]
    assert list(found.references) == list(found.speedups) == [str(race.slow), str(race.middle)]
    assert found.speedup == found.speedups[str(race.slow)]
    assert found.speedup.median > 2
    assert [verdict.verdict for verdict in found.gates] == ["pass", "fail", "pass"]
    assert found.verdict == "fail"
    assert found.name == "1"


def test_each_model_has_its_speedup_against_the_first(race: Race) -> None:
    middle = race.result.speedups[str(race.middle)]
    assert middle.vs == str(race.slow)
    assert 1 < middle.median < report(race.result).speedup.median


def test_how_it_was_sampled_is_in_the_report(race: Race) -> None:
    found = report(race.result)
    assert found.sampling is not None
    assert (found.sampling.looks_planned, found.sampling.stopped, found.sampling.lost) == (3, "decided", {})
    assert found.sampling.rounds >= 10
    assert found.final.latency_ms.n == sum(map(len, race.result.blocks[str(race.fast)]))
    assert found.data["bench"]["source"] == "synthetic"


def test_judging_the_report_again_gives_the_same_verdicts(race: Race) -> None:
    assert judge(race.gates, report(race.result), samples=race.result.blocks) == report(race.result).gates


def test_progress_names_the_stage_its_share_and_the_speedup_so_far(race: Race) -> None:
    assert {stage for stage, _, _ in race.said} == {"measure"}
    assert all(share is None or 0 <= share <= 1 for _, _, share in race.said)
    assert any("round 10 of 10" in detail and "speedup" in detail for _, detail, _ in race.said)


def test_a_model_on_its_own_is_compared_with_its_second_copy(small: Path, alone: Result) -> None:
    found = report(alone)
    assert found.baseline == found.final
    assert found.speedup.control == found.speedup.ci95
    assert set(alone.blocks) == {str(small), f"{small} (again)"}
    assert found.final.cold_start is not None
    assert found.final.cold_start.load_ms > 0


def test_without_gates_there_is_one_look_and_nothing_is_undecided(alone: Result) -> None:
    found = report(alone)
    assert (found.gates, found.verdict) == ((), "inconclusive")
    assert found.sampling is not None
    assert (found.sampling.looks_planned, found.sampling.stopped) == (1, "decided")


def test_operators_are_profiled_when_asked(small: Path, alone: Result, race: Race) -> None:
    profiled = report(alone).operators[str(small)]
    assert {one.op_type for one in profiled} == {"MatMul"}
    assert sum(one.nodes for one in profiled) == 2
    assert report(race.result).operators == {}


def test_the_same_file_twice_is_two_candidates(small: Path) -> None:
    found = report(measured(small, against=small))
    assert [found.baseline.name, found.final.name] == [str(small), f"{small} (2)"]
    assert found.baseline.digest == found.final.digest


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate(metric="accuracy.drop_pt", max=1), "bench measures speed and size, not accuracy"),
        (Gate(metric="serving.p99_ms", max=1), "bench starts no server"),
        (Gate(metric="speedup.median", min=1), "one model on its own has no speedup"),
        (Gate(metric="speedup.median", min=1, vs="smal.onnx"), "one model on its own has no speedup"),
        (Gate(metric="size.ratio", max=1, vs="smal.onnx"), "a model that is not measured"),
        (Gate(metric="size.ratio", max=1), "one model on its own has no ratio"),
        (Gate(metric="peak_rss.ratio", max=1), "one model on its own has no ratio"),
    ],
)
def test_a_gate_that_cannot_be_answered_is_refused_before_measuring(small: Path, gate: Gate, message: str) -> None:
    assert message in str(refused(GateError, small, gates=(gate,)))


def test_all_gates_that_cannot_be_answered_are_told_at_once(small: Path) -> None:
    gates = (Gate(metric="fidelity.cosine", min=0.9), Gate(metric="speedup.median", min=1))
    assert len(refused(GateError, small, gates=gates).problems) == 2


@pytest.mark.parametrize("metric", ["speedup.median", "size.ratio", "peak_rss.ratio"])
def test_a_gate_that_compares_the_last_model_with_itself_is_refused_before_measuring(
    small: Path, tmp_path: Path, metric: str
) -> None:
    other = dense(tmp_path / "other.onnx")
    gates = (Gate(metric=metric, max=2, vs=str(other)),)
    assert "compares the last model with itself" in str(refused(GateError, small, other, gates=gates))


def test_models_with_other_inputs_are_refused(small: Path, tmp_path: Path) -> None:
    other = dense(tmp_path / "other.onnx", name="y")
    assert "only models with the same inputs" in str(refused(MeasureError, small, other))


def test_models_with_other_shapes_are_refused(small: Path, tmp_path: Path) -> None:
    wide = dense(tmp_path / "wide.onnx", width=65)
    problem = refused(DataError, small, wide).problems[0]
    assert (problem.got, problem.expected) == ("[16, 64]", "[samples, 65]")
    assert problem.where == f"{wide}: input 'x'"


def test_models_of_different_fixed_batch_are_refused(tmp_path: Path) -> None:
    free, fixed = dense(tmp_path / "free.onnx"), dense(tmp_path / "fixed.onnx", batch=2)
    assert "--batch 2" in str(refused(MeasureError, free, fixed))
    other = dense(tmp_path / "other.onnx", batch=1)
    assert refused(MeasureError, other, fixed).problems[0].fix == "measure them in runs of their own"


def test_a_fixed_batch_is_used_and_said(tmp_path: Path) -> None:
    found = report(measured(dense(tmp_path / "fixed.onnx", batch=2)))
    assert found.final.batch_size == 2
    assert found.notes == ("--batch 1 does not apply: the models take 2 in one inference",)


def test_a_sweep_measures_every_model_at_every_load(small: Path, tmp_path: Path) -> None:
    fixed = dense(tmp_path / "fixed.onnx", batch=1)
    found = report(measured(small, fixed, batch_sizes=(1, 4), concurrency=(1, 2)))
    loads = [(point.name, point.batch_size, point.concurrency) for point in found.sweep]
    free = [(str(small), size, clients) for size in (1, 4) for clients in (1, 2)]
    assert loads == [*free, (str(fixed), 1, 1), (str(fixed), 1, 2)]
    assert found.notes == (f"{fixed}: batch 4 left out, since it takes 1 in one inference, always",)
    assert found.final.batch_size == 1
    for point in found.sweep:
        rate = 1e3 * point.batch_size * point.concurrency / point.latency_ms.mean
        assert point.throughput_per_s == pytest.approx(rate)
        assert point.latency_ms.p95 is not None


def test_a_lost_reference_does_not_take_the_others_along(small: Path, tmp_path: Path) -> None:
    bad = broken(tmp_path / "bad.onnx")
    gates = (Gate(metric="speedup.median", max=1000),)
    other = dense(tmp_path / "other.onnx")
    result = measured(small, bad, other, gates=gates)
    assert "Reshape" in result.lost[str(bad)]
    assert list(result.candidates) == [str(small), str(other)]
    assert report(result).verdict == "pass"
    assert report(result).sampling.lost == result.lost  # type: ignore[union-attr]


def test_no_gate_is_judged_that_compares_with_a_lost_model(small: Path, tmp_path: Path) -> None:
    bad, other = broken(tmp_path / "bad.onnx"), dense(tmp_path / "other.onnx")
    gates = (Gate(metric="speedup.median", max=1000, vs=str(bad)), Gate(metric="size_mb", max=1000))
    found = report(measured(small, bad, other, gates=gates))
    assert (found.gates, found.verdict) == ((), "inconclusive")


@pytest.mark.parametrize("place", [0, 1])
def test_without_its_baseline_or_its_last_model_there_is_no_report(small: Path, tmp_path: Path, place: int) -> None:
    models = [small, broken(tmp_path / "bad.onnx")]
    result = measured(*(models if place else models[::-1]), gates=(Gate(metric="speedup.median", max=1000),))
    assert result.report is None
    assert list(result.candidates) == [str(small)]
    assert list(result.lost) == [str(tmp_path / "bad.onnx")]
    assert result.blocks[str(small)]


@pytest.mark.parametrize("given", [False, True])
def test_inputs_are_blamed_where_they_were_made_up_and_may_be_the_cause(tmp_path: Path, given: bool) -> None:
    """No values can help a model that reshapes a fixed size wrongly, whatever its inputs; an index may be theirs."""
    first, fails, looks_up = dense(tmp_path / "a.onnx"), broken(tmp_path / "b.onnx"), tmp_path / "c.onnx"
    table = onnx.numpy_helper.from_array(np.zeros((1, 4), np.float32), "table")
    nodes = [onnx.helper.make_node("Cast", ["x"], ["i"], to=onnx.TensorProto.INT64),
             onnx.helper.make_node("Gather", ["table", "i"], ["y"])]  # fmt: skip
    saved(looks_up, nodes, [table], "x", ["batch", 64], "y")
    np.savez(tmp_path / "data.npz", x=np.full((2, 64), 2, np.float32))
    result = measured(first, fails, looks_up, **({"data": tmp_path / "data.npz"} if given else {}))
    assert set(result.lost) == {str(fails), str(looks_up)}
    blamed = "the inputs were made up, which may be the cause: give real ones with --data FILE.npz"
    assert result.fixes == ({} if given else {str(looks_up): blamed})


def test_what_to_do_about_a_model_that_does_not_open_is_told(small: Path, tmp_path: Path) -> None:
    twins = tmp_path / "twins.onnx"
    nodes = [onnx.helper.make_node("Relu", ["x"], ["h"], "a"), onnx.helper.make_node("Relu", ["h"], ["y"], "a")]
    result = measured(small, saved(twins, nodes, [], "x", ["batch", 64], "y"))
    assert "two nodes of the model have one name" in result.lost[str(twins)]
    assert "named-twins.onnx" in result.fixes[str(twins)]


def test_data_is_checked_against_the_model(small: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((4, 9), dtype=np.float32))
    assert "the shape does not fit the model" in str(refused(DataError, small, data=tmp_path / "data.npz"))


def test_sizes_that_were_made_up_are_told_where_they_decide_the_time(tmp_path: Path) -> None:
    import onnx

    ports = [onnx.helper.make_tensor_value_info(name, 1, ["n", 3, "height"]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    (note,) = report(measured(tmp_path / "m.onnx")).notes
    assert note == "inputs were made up, each sample in this size: x [3, 16]; --data FILE gives real ones"
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 3, 5), np.float32))
    assert report(measured(tmp_path / "m.onnx", data=tmp_path / "x.npz")).notes == ()


def test_one_model_in_two_runtimes_is_two_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = replace(runtimes.BUILTIN[0], name="again")
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, again))
    request = replace(QUICK, models=(dense(tmp_path / "m.onnx"), dense(tmp_path / "n.onnx")), threads=(2,))
    found = _candidates(replace(request, runtimes=("again", "onnxruntime")))
    names = [(each.name.rpartition("/")[2], each.deployable.runtime, each.options.threads) for each in found]
    assert names == [
        ("m.onnx (again)", "again", 2), ("m.onnx (onnxruntime)", "onnxruntime", 2),
        ("n.onnx (again)", "again", 2), ("n.onnx (onnxruntime)", "onnxruntime", 2),
    ]  # fmt: skip
    assert named((Path("m.onnx"), None), ("again",)) == {"m.onnx (again)"}
    assert named((Path("m.onnx"), None), ()) == {"m.onnx"}
    with pytest.raises(ModelError, match="'torch' does not run this kind"):
        _candidates(replace(request, runtimes=("torch",)))


def test_where_each_runs_is_told_if_that_differs_and_no_name_tells(tmp_path: Path) -> None:
    model = in_runtime(open_onnx(dense(tmp_path / "a.onnx")))
    there = Deployable(model.model, "openvino", OpenVinoOptions(threads=1, precision="bf16"))
    one, other = Candidate("a.onnx", model), Candidate("made", there)
    assert _places((one, other), ()) == ("a.onnx runs in onnxruntime", "made runs in openvino bf16")
    assert _places((one, one), ()) == _places((one, other), ("onnxruntime", "openvino")) == ()
