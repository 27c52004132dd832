"""The gates on quality, asked before anything is timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import figures, model, recipe
from deployables import in_runtime

from mlopt.core.errors import MeasureError, ModelError
from mlopt.formats.model import ONNX
from mlopt.measure.evaluate import Evaluator
from mlopt.results.figures import Fidelity
from mlopt.run import quality
from mlopt.run.quality import QualityGates
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions

WRONG = 7
FIDELITY = {"metric": "fidelity.cosine", "min": 0.99}


@pytest.fixture
def evaluator(tmp_path: Path) -> Evaluator:
    return figures(tmp_path)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, evaluator: Evaluator) -> None:
    """Models called ``wrong`` answer wrongly, as any does on ``WRONG`` threads; those called ``dead`` do not answer."""

    def fidelity(_one: Any, judged: Deployable) -> Fidelity:
        if "dead" in judged.model.digest:
            raise MeasureError("the model cannot be evaluated", got="it hung")
        cosine = 0.5 if "wrong" in judged.model.digest or judged.options.threads == WRONG else 0.999
        return Fidelity(cosine=cosine, sqnr_db=30.0, max_abs=0.1, n=8, shift=0.0, worst_part=0.0, part="none")

    monkeypatch.setattr(type(evaluator), "fidelity", fidelity)


def held(folder: Path, evaluator: Evaluator, name: str, *gates: dict[str, Any]) -> quality.Judged:
    return QualityGates(recipe(gates), evaluator, {}).of(in_runtime(model(folder, name)))


@pytest.mark.usefixtures("answering")
def test_what_the_gates_say_is_told_with_the_figures(tmp_path: Path, evaluator: Evaluator) -> None:
    right, wrong = (held(tmp_path, evaluator, name, FIDELITY) for name in ("right", "wrong"))
    assert right.objection is None
    assert right.fidelity is not None
    assert right.accuracy is not None
    assert wrong.objection == "fidelity.cosine is 0.5, which is not >= 0.99"
    assert wrong.fidelity is not None


@pytest.mark.usefixtures("answering")
def test_that_it_cannot_be_run_speaks_against_it(tmp_path: Path, evaluator: Evaluator) -> None:
    assert held(tmp_path, evaluator, "dead", FIDELITY).objection == "the model cannot be evaluated: it hung"


@pytest.mark.usefixtures("answering")
def test_gates_on_speed_are_not_asked(tmp_path: Path, evaluator: Evaluator) -> None:
    slow = {"metric": "latency.p50_ms", "max": 1e-9}
    assert held(tmp_path, evaluator, "right", FIDELITY, slow).objection is None


@pytest.mark.usefixtures("answering")
def test_each_is_asked_once(tmp_path: Path, evaluator: Evaluator) -> None:
    gates, one = QualityGates(recipe((FIDELITY,)), evaluator, {}), in_runtime(model(tmp_path, "right"))
    assert gates.of(one) is gates.of(one)
    assert evaluator.asked.count(one.model.digest) == 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("wrong", [True, False])
def test_the_least_precision_that_keeps_the_gates_is_preferred(
    tmp_path: Path, evaluator: Evaluator, wrong: bool, choosing: list[Deployable]
) -> None:
    exact = in_runtime(model(tmp_path, "exact"))
    choosing += [exact, exact.on_threads(WRONG if wrong else 2)]
    gates = QualityGates(recipe((FIDELITY,)), evaluator, {})
    assert gates.preferred(exact) == choosing[0 if wrong else 1]


@pytest.fixture
def choosing(monkeypatch: pytest.MonkeyPatch) -> list[Deployable]:
    """The ways to open a model, of which there are none yet."""
    found: list[Deployable] = []
    monkeypatch.setattr(quality, "choices", lambda one, **_: tuple(replace(each, model=one.model) for each in found))
    return found


@pytest.mark.usefixtures("answering")
def test_nothing_lossy_is_taken_where_no_gate_would_see_it(
    tmp_path: Path, evaluator: Evaluator, choosing: list[Deployable]
) -> None:
    exact = in_runtime(model(tmp_path, "exact"))
    choosing += [exact, exact.on_threads(2)]
    assert QualityGates(recipe(()), evaluator, {}).choices(exact) == (exact,)


def test_a_runtime_is_asked_once_how_it_opens_models(
    tmp_path: Path, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def choices(one: Deployable, **_: Any) -> tuple[Deployable, ...]:
        asked.append(one.model.digest)
        return one, one.on_threads(2)

    monkeypatch.setattr(quality, "choices", choices)
    gates = QualityGates(recipe((FIDELITY,)), evaluator, {})
    for name in ("one", "other"):
        one = in_runtime(model(tmp_path, name))
        assert gates.choices(one) == (one, one.on_threads(2))
    assert len(asked) == 1


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("change", [None, "output 'y', sample 0: value 0 is 2 where 1 was expected"])
def test_where_no_gate_sees_it_another_runtime_answers_what_the_first_does(
    tmp_path: Path, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, change: str | None
) -> None:
    held: list[tuple[str, str]] = []

    def changed(before: Deployable, after: Deployable) -> str | None:
        held.append((before.runtime, after.runtime))
        return change

    monkeypatch.setattr(type(evaluator), "changed", staticmethod(changed), raising=False)
    other = Runtime("other", frozenset({ONNX}), RuntimeOptions, pytest.fail)
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))
    own = in_runtime(model(tmp_path, "wrong"))
    gates = QualityGates(recipe(()), evaluator, {})
    found = gates.of(Deployable(own.model, "other", RuntimeOptions(threads=1))).objection
    said = (
        None if change is None else f"it answers otherwise than onnxruntime, and no gate says how far it may: {change}"
    )
    assert (found, gates.of(own).objection) == (said, None)
    assert held == [("onnxruntime", "other")]  # the first is sure by itself
    assert QualityGates(recipe((FIDELITY,)), evaluator, {}).of(own).objection is not None


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize(
    ("found", "gates"), [("it is 3 where 2 was expected", ()), (None, ()), ("it is 3", (FIDELITY,))]
)
def test_where_no_gate_says_it_a_runtime_that_takes_anything_must_answer_as_another_does(
    tmp_path: Path, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, found: str | None, gates: Any
) -> None:
    sure, judged = in_runtime(model(tmp_path, "right")), in_runtime(model(tmp_path, "right"), threads=3)
    monkeypatch.setattr(quality, "that_checks_sizes", lambda _one: sure)
    monkeypatch.setattr(
        type(evaluator), "changed", lambda _one, before, after: found if before != after else "same", raising=False
    )
    held = QualityGates(recipe(gates), evaluator, {})
    held.check(sure)
    if found is None or gates:
        assert held.of(judged).objection is None
        held.check(judged)
        return
    said = f"it answers otherwise than onnxruntime, and no gate says how far it may: {found}"
    assert held.of(judged).objection == said
    with pytest.raises(ModelError, match="no gate on accuracy or fidelity") as caught:
        held.check(judged)
    assert "target: {runtime: onnxruntime}" in str(caught.value.problems[0].fix)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"metric": "size_mb", "max": 1}, None),
        ({"metric": "size_mb", "max": 1e-9}, "size_mb is 8e-06, which is not <= 1e-09"),
        ({"metric": "size.ratio", "max": 1}, "size.ratio is 2, which is not <= 1"),
        ({"metric": "size.ratio", "max": 3}, None),
        ({"metric": "latency.p50_ms", "max": 1e-9}, None),
        (FIDELITY, None),
    ],
)
def test_gates_on_size_are_asked_of_the_file(
    tmp_path: Path, evaluator: Evaluator, gate: dict[str, Any], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = (in_runtime(model(tmp_path, name)) for name in ("8 bytes!", "half"))
    monkeypatch.setattr(type(evaluator), "source", small, raising=False)
    monkeypatch.setattr(type(evaluator), "source_name", "source", raising=False)
    assert QualityGates(recipe((gate,)), evaluator, {}).too_large(large, small) == said


def test_twice_the_error_that_a_gate_allows_is_plainly_wrong(evaluator: Evaluator) -> None:
    stricter = {"metric": "fidelity.cosine", "min": 0.999}
    assert QualityGates(recipe((FIDELITY,)), evaluator, {}).plainly_wrong == pytest.approx(0.98)
    assert QualityGates(recipe((FIDELITY, stricter)), evaluator, {}).plainly_wrong == pytest.approx(0.998)
    assert QualityGates(recipe(()), evaluator, {}).plainly_wrong < -1
