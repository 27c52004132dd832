"""Options by measuring: what is kept of the model, what is said, when it is refused, and a whole run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from bench_models import dense
from deployables import in_runtime
from pass_runs import PLAIN_X86, applied, dataset, fresh

import mlopt
from mlopt.artifact.deployed import given
from mlopt.core.errors import PassError
from mlopt.core.target import Objective, Target
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes import tune_session
from mlopt.passes.base import Context, PassResult, Refusal
from mlopt.passes.tune_session import PASS, TuneSessionConfig
from mlopt.results.timing import Measuring, Race, Speed
from mlopt.run.step import execute
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

QUIET = Speed(1.0, 0.999, 1.001)


@dataclass
class Known:
    """Knows how much faster the model is for each option that is not as it was; measures nothing."""

    gains: Mapping[str, float]
    base: RuntimeOptions
    clients: tuple[int, ...] = ()

    def race_options(
        self, options: Mapping[str, RuntimeOptions], *, seconds: float, max_time: float = 0.0, clients: int = 1
    ) -> Race:
        self.clients = (*self.clients, clients)
        return Race({name: self._speed(each) for name, each in options.items()}, QUIET, {})

    def _speed(self, options: RuntimeOptions) -> Speed:
        found = 1.0
        for key, value in options:
            found *= self.gains.get(key, 0.9) if value != getattr(self.base, key) else 1.0
        return Speed(found, 0.99 * found, 1.01 * found)


def context(
    tmp_path: Path, model: Model, gains: Mapping[str, float], target: Target | None = None, **more: Any
) -> Context:
    target = target or Target(threads=4)
    deployed = in_runtime(model, target.threads or 1)
    width = model.inputs[0].shape[-1]
    data = dataset({"x": np.random.default_rng(0).standard_normal((4, width)).astype(np.float32)}, tmp_path)
    known = Known(gains, deployed.options)

    def measuring(*_: Any) -> Measuring:
        return cast(Measuring, known)

    given: dict[str, Any] = {
        "out": fresh(tmp_path, "out"), "target": target, "objective": Objective.LATENCY, "hardware": PLAIN_X86,
        "samples": data, "deployable": deployed, "measuring": measuring,
    }  # fmt: skip
    return Context(**(given | more))


def result(model: Model, given: Context) -> PassResult | Refusal:
    config = TuneSessionConfig()
    reason = PASS.refuse(model, config, given)
    return Refusal(reason) if reason is not None else PASS.run(model, config, given)


def tuned(tmp_path: Path, gains: Mapping[str, float], **more: Any) -> PassResult | Refusal:
    model = open_onnx(dense(tmp_path / "m.onnx"))
    return result(model, context(tmp_path, model, gains, **more))


def reason(found: PassResult | Refusal) -> str:
    assert isinstance(found, Refusal), found
    return found.reason


def test_the_model_stays_as_it_is_and_the_options_come_with_it(tmp_path: Path) -> None:
    found = applied(tuned(tmp_path, {"spinning": 1.3}))
    assert open_onnx(found.path).digest == open_onnx(tmp_path / "m.onnx").digest
    assert not found.path.samefile(tmp_path / "m.onnx")
    assert (found.runtime, found.options) == ("onnxruntime", OnnxRuntimeOptions(threads=4, spinning=False))
    assert sorted(each.name for each in found.path.parent.iterdir()) == ["model.onnx"]  # no scratch is left


def test_weights_beside_the_graph_come_along(tmp_path: Path) -> None:
    proto = onnx.load(dense(tmp_path / "m.onnx"))
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    model = open_onnx(tmp_path / "m.onnx")
    found = applied(result(model, context(tmp_path, model, {"prepacking": 1.3})))
    assert open_onnx(found.path).digest == model.digest
    assert {each.name for each in found.path.parent.iterdir()} == {"model.onnx", "weights"}


def test_the_notes_say_what_was_chosen_and_what_became_of_each_change(tmp_path: Path) -> None:
    notes = applied(tuned(tmp_path, {"threads": 1.5})).notes
    assert notes["chosen"].startswith("threads: ")
    assert notes["threads"].endswith(" of the 4 that were allowed")
    assert "clients" not in notes
    tried = {name.removeprefix("tried "): said for name, said in notes.items() if name.startswith("tried ")}
    assert set(tried) == set(tune_session._ways(*described(tmp_path)))
    assert tried["spinning: false"] == "0.90x (0.89 to 0.91) in a heat of 0.4 s"
    json.dumps(dict(notes))


def described(tmp_path: Path) -> tuple[Model, Deployable, Objective]:
    model = open_onnx(tmp_path / "m.onnx")
    return model, in_runtime(model, 4), Objective.LATENCY


def test_where_nothing_helps_it_is_refused_with_all_that_was_tried(tmp_path: Path) -> None:
    found = tuned(tmp_path, {})
    assert "changes seemed faster" in reason(found)
    assert isinstance(found, Refusal)
    assert sum(name.startswith("tried ") for name in found.notes) > 5
    assert "chosen" not in found.notes


def test_several_clients_are_the_load_of_every_race(tmp_path: Path) -> None:
    target = Target(threads=2, clients=3)
    model = open_onnx(dense(tmp_path / "m.onnx"))
    given = context(tmp_path, model, {"spinning": 1.3}, target, objective=Objective.THROUGHPUT)
    found = applied(result(model, given))
    assert found.notes["clients"] == 3
    measuring = cast(Any, given.measuring)()
    assert set(measuring.clients) == {3}


def test_options_that_change_the_answers_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(one: Deployable) -> Iterator[Any]:
        class Session:
            def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
                options = cast(OnnxRuntimeOptions, one.options)
                return {"h1": feeds["x"] * (1.0 if options.spinning else 1.5)}

        yield Session()

    monkeypatch.setattr(tune_session, "open_session", opened)
    found = applied(tuned(tmp_path, {"spinning": 2.0, "prepacking": 1.3}))
    assert found.options == OnnxRuntimeOptions(threads=4, prepacking=False)
    assert found.notes["tried spinning: false"].startswith("it changes what the model computes: output 'h1', sample 0")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"objective": Objective.SIZE}, "the objective is size, which no option of a session changes"),
        ({"samples": None}, "without samples there is nothing to measure on"),
    ],
)
def test_what_can_be_known_before_is_a_refusal(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    assert reason(tuned(tmp_path, {}, **more)) == said


@pytest.mark.parametrize(
    ("tunings", "said"),
    [
        (None, "the runtime 'plain' names no options that are worth a try"),
        (lambda *_: {}, "there is nothing to choose in plain on 4 threads"),
    ],
)
def test_a_runtime_that_has_nothing_to_choose_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tunings: Any, said: str
) -> None:
    model = open_onnx(dense(tmp_path / "m.onnx"))
    plain = Runtime("plain", frozenset({model.kind}), RuntimeOptions, pytest.fail, tunings=tunings)
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, plain))
    deployed = Deployable(model, "plain", RuntimeOptions(threads=4))
    assert reason(result(model, context(tmp_path, model, {}, deployable=deployed))) == said


@pytest.mark.parametrize("more", [{"deployable": None}, {"measuring": None}])
def test_without_what_it_measures_with_it_is_an_error(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(PassError):
        tuned(tmp_path, {}, **more)


@pytest.mark.parametrize(("megabytes", "memory"), [(1, 8 << 30), (2000, 8 << 30), (2000, 64 << 30), (1, 1)])
def test_as_many_are_open_at_a_time_as_half_of_the_memory_holds(tmp_path: Path, megabytes: int, memory: int) -> None:
    class Large:
        size_bytes = megabytes << 20

    found = tune_session._at_once(cast(Model, Large()), memory)
    assert 1 <= found <= 14
    assert found == 1 or (found + 2) * 3 * Large.size_bytes <= memory / 2


def test_the_framework_takes_the_options_and_finds_the_same_model(tmp_path: Path) -> None:
    model = open_onnx(dense(tmp_path / "m.onnx"))
    setting = context(tmp_path, model, {"memory_arena": 1.3})
    before = cast(Deployable, setting.deployable)
    entry = execute(PASS, before, TuneSessionConfig(), setting, options=RuntimeOptions(threads=4))
    assert entry["digest"] == model.digest
    after = OnnxRuntimeOptions(threads=4, memory_arena=False)
    assert entry["deployed"] == {"runtime": "onnxruntime", "options": after.model_dump(mode="json")}
    assert OnnxRuntimeOptions.model_validate(entry["deployed"]["options"], strict=True) == after
    assert entry["parity"]["max_abs"] == 0.0
    assert replace(before, options=after).identity != before.identity  # so it is on trial against what was there


BRIEFLY = ("measure.seconds=0.05", "measure.rounds=7", "measure.max_time=1", "measure.operators=false")
RECIPE = """
apiVersion: mlopt/v1
name: tuned
model: {source: ./m.onnx}
data: {evaluation: {source: ./x.npz}}
target: {threads: 2}
passes: [tune_session: {seconds: 1, optional: true}]
gates: [{metric: speedup.median, min: 0.001}]
"""


@pytest.mark.process
@pytest.mark.slow
def test_a_run_ships_what_it_found_or_the_defaults_and_says_what_was_tried(tmp_path: Path) -> None:
    dense(tmp_path / "m.onnx", layers=2)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32))
    (tmp_path / "r.yaml").write_text(RECIPE)
    made = mlopt.optimize(tmp_path / "r.yaml", output=tmp_path / "out", overrides=BRIEFLY)
    (step,) = made.report.steps
    assert step.status in {"applied", "refused", "dropped"}
    assert sum(name.startswith("tried ") for name in step.notes) >= 4
    deployed = given(made.path)
    assert deployed.model.digest == open_onnx(tmp_path / "m.onnx").digest
    assert deployed.options.model_dump(mode="json") == made.report.final.options
    if step.status != "applied":
        assert deployed.options == OnnxRuntimeOptions(threads=2)
    with mlopt.load(made.path) as session:
        assert session.run({"x": np.ones((1, 64), np.float32)})["h2"].tolist() == [[1.0] * 64]
