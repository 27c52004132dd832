from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployables import in_runtime
from quantization_models import cnn

from mlopt.core.errors import MeasureError
from mlopt.core.target import Objective
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.recipe.schema import Measure
from mlopt.results.figures import ColdStart
from mlopt.results.roles import BASELINE, CONTROL
from mlopt.results.study import TrialRecord
from mlopt.tune.finish import LastRace, decided

OWN_MS = 4.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return open_onnx(cnn(tmp_path_factory.mktemp("model") / "net.onnx"))


def trial(number: int, **known: Any) -> TrialRecord:
    base = {
        "number": number, "params": {"threads": number}, "origin": "search", "status": "measured", "rung": 2,
        "began_s": 0.0, "seconds": 1.0, "node": "here", "valid": True, "latency_ms": 1.0, "speedup": 9.0,
    }  # fmt: skip
    return TrialRecord.model_validate({**base, **known})


def race(model: Any, ms: dict[int, float], lost: tuple[str, ...] = (), noise: float = 0.01) -> LastRace:
    """Trials take so long, by their number, the baseline 8 ms and the recipe's own result 4."""
    values = np.random.default_rng(0)

    def blocks(middle: float) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(middle * np.exp(noise * values.normal(size=8))) for _ in range(20))

    def run(named: Any, _schedule: Any) -> Run:
        times = {BASELINE: 8.0, CONTROL: 8.0, "the recipe's own": OWN_MS}
        times |= {f"trial {number}": each for number, each in ms.items()}
        measured = {
            name: Measured(Candidate(name, in_runtime(model)), blocks(times[name]), 1, ColdStart(load_ms=1, first_ms=1))
            for name in (BASELINE, CONTROL, *named) if name not in lost
        }  # fmt: skip
        return Run(measured, {}, dict.fromkeys(lost, "it died"), {}, (), 1, 1, 10, "decided", 1.0)

    def opened(params: Any, _options: Any) -> Any:
        return in_runtime(model, threads=params["threads"])

    return LastRace(run, opened, Measure())


def test_the_fastest_that_is_surely_faster_than_the_recipes_own_result_wins(model: Any) -> None:
    ranked = [trial(2), trial(3), trial(4)]
    found = decided(race(model, {2: 3.0, 3: 2.0, 4: 5.0}), in_runtime(model), ranked, Objective.LATENCY)
    assert found.winner == ranked[1]
    assert found.speedup == pytest.approx(2.0, rel=0.02)
    assert found.ci95 is not None
    assert found.ci95[0] > 1


def test_what_only_looked_faster_in_its_trial_does_not(model: Any) -> None:
    found = decided(race(model, {2: OWN_MS, 3: 4.2}), in_runtime(model), [trial(2), trial(3)], Objective.LATENCY)
    assert found.winner is None
    assert found.speedup == pytest.approx(1.0, abs=0.02)


def test_less_than_two_copies_of_a_model_differ_is_no_gain(model: Any) -> None:
    found = decided(race(model, {2: 3.9}, noise=0.4), in_runtime(model), [trial(2)], Objective.LATENCY)
    assert found.winner is None


def test_the_recipes_own_result_is_no_rival_of_itself(model: Any) -> None:
    same = [trial(1), trial(2, origin="recipe")]
    found = decided(race(model, {}), in_runtime(model, threads=1), same, Objective.LATENCY)
    assert (found.winner, found.speedup) == (None, None)


def test_a_finalist_that_dies_leaves_the_others(model: Any) -> None:
    ranked = [trial(2), trial(3)]
    found = decided(race(model, {2: 1.0, 3: 2.0}, lost=("trial 2",)), in_runtime(model), ranked, Objective.LATENCY)
    assert found.winner == ranked[1]


def test_nothing_replaces_a_result_that_could_not_be_measured_again(model: Any) -> None:
    found = decided(race(model, {2: 1.0}, lost=("the recipe's own",)), in_runtime(model), [trial(2)], Objective.LATENCY)
    assert found.winner is None


def test_a_race_that_cannot_be_run_replaces_nothing(model: Any) -> None:
    def run(_named: Any, _schedule: Any) -> Run:
        raise MeasureError("the baseline could not be measured")

    lost = replace(race(model, {}), run=run)
    assert decided(lost, in_runtime(model), [trial(2)], Objective.LATENCY).winner is None


def test_for_size_what_is_no_smaller_does_not_win(model: Any, tmp_path: Path) -> None:
    assert decided(race(model, {}), in_runtime(model), [trial(2)], Objective.SIZE).winner is None
