"""Whole studies of a small model: killed, gone on with, and what they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tuned_recipe

from mlopt.artifact.verify import verify
from mlopt.core.errors import UserError
from mlopt.run.request import Request
from mlopt.tune.asked import Asked
from mlopt.tune.journal import recorded
from mlopt.tune.space import key_of
from mlopt.tune.study import outlook, run

pytestmark = pytest.mark.process


def asked(folder: Path, **known: Any) -> Asked:
    request = Request(source=folder / "net.yaml", output=folder / "out", sign=True)
    return Asked(request, **{"trials": 8, "budget": None, **known})


def test_a_study_ends_in_an_artifact_and_says_how_it_came_to_it(tmp_path: Path) -> None:
    tuned_recipe.write(tmp_path)
    found = run(asked(tmp_path))
    assert verify(found.artifact.path).manifest.name == "small"
    study = found.study
    assert len(study.trials) == 8
    assert study.trials[0].origin == "recipe"
    assert study.ended.why == "trials"
    assert study.best is not None
    assert {each.number for each in study.trials if each.valid} >= set(study.front)
    assert (found.folder / "own" / "how.json").is_file()
    assert "passes:" in found.recipe

    again = run(asked(tmp_path))
    assert again.study.trials == study.trials
    assert again.study.ended.resumed == 1


def test_killed_three_times_it_ends_with_the_same_number_of_trials_and_none_lost(tmp_path: Path) -> None:
    tuned_recipe.write(tmp_path)
    command = [sys.executable, "-m", "mlopt", "tune", "net.yaml", "--trials", "9", "--no-sign", "-o", "out", "--json"]
    known: set[int] = set()
    for wanted in (1, 3, 6):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              start_new_session=True) as process:  # fmt: skip
            until(lambda: count(tmp_path) >= wanted or process.poll() is not None)  # noqa: B023 - asked at once
            os.killpg(process.pid, signal.SIGKILL)
        numbers = {each.number for each in recorded(tmp_path / "out.study")}
        assert numbers >= known, "a result was lost"
        known = numbers
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    study = json.loads(done.stdout)
    points = [key_of(each["params"]) for each in study["trials"]]
    assert len(points) == len(set(points)) == 9
    assert {each["number"] for each in study["trials"]} >= known
    assert (tmp_path / "out" / "mlopt.json").is_file()
    assert (tmp_path / "out.study" / "study.html").is_file()


def test_another_recipe_is_another_study(tmp_path: Path) -> None:
    path = tuned_recipe.write(tmp_path)
    run(asked(tmp_path, trials=1))
    path.write_text(tuned_recipe.TEXT.replace("min: 0.9", "min: 0.8"), encoding="utf-8")
    with pytest.raises(UserError, match="made with another recipe"):
        run(asked(tmp_path, trials=1))


def test_the_space_is_told_without_a_trial(tmp_path: Path) -> None:
    tuned_recipe.write(tmp_path)
    found = outlook(asked(tmp_path))
    assert {"passes.quantize.scheme", "session.onnxruntime"} <= {each.name for each in found.parameters}
    assert found.first[0][1] == "recipe"
    assert not (tmp_path / "out.study").exists()


def count(folder: Path) -> int:
    journal = folder / "out.study" / "journal.log"
    return journal.read_text(encoding="utf-8").count('\\"status\\"') if journal.is_file() else 0


def until(true: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
