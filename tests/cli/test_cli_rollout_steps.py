"""What the steps print."""

from __future__ import annotations

import json

import pytest
from rollout_world import A, B

from mlopt.cli.rollout_options import show_step
from mlopt.rollout.conduct import StepDone
from mlopt.rollout.traffic import HeldVersion, Serving

BEFORE = Serving((HeldVersion(A, "ready", 100, 0, 1),))
AFTER = Serving((HeldVersion(A, "ready", 90, 0, 1), HeldVersion(B, "ready", 10, 20, 2)))


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_step(StepDone("start", B, True, BEFORE, AFTER), as_json=False)
    assert capsys.readouterr().out == (f"start      {B}\nserving    {A[:12]} 90 %, {B[:12]} 10 % and copies of 20 %\n")
    show_step(StepDone("rollback", A, False, BEFORE, BEFORE), as_json=False)
    assert "it was so already" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_step(StepDone("start", B, True, BEFORE, AFTER), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["serving"][1] == {"digest": B, "version": 2, "state": "ready", "weight": 10, "shadow": 20}
