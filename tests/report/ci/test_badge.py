"""The badge: what was won if the gates passed, else the verdict."""

from __future__ import annotations

import json

import pytest
from ci_reports import BROKEN, MET, NASTY, UNDECIDED, judged
from gate_evidence import SPEEDUP, candidate

from mlopt.report.ci import badge
from mlopt.results.report import GateVerdict


@pytest.mark.parametrize(
    ("gate", "message", "color"),
    [(BROKEN, "failing", "red"), (UNDECIDED, "inconclusive", "yellow"), (MET, "1.36x as fast", "brightgreen")],
)
def test_the_badge_tells_the_verdict_or_what_was_won(gate: GateVerdict, message: str, color: str):
    document = json.loads(badge.render(judged(gate)))
    assert document == {"schemaVersion": 1, "label": "digits", "message": message, "color": color} | (
        {"isError": True} if gate is BROKEN else {}
    )


def test_the_badge_claims_no_speed_within_the_noise():
    noisy = SPEEDUP.model_copy(update={"median": 1.05, "ci95": (1.01, 1.09)})
    assert json.loads(badge.render(judged(MET, speedup=noisy)))["message"] == "passing"


def test_the_badge_of_a_recipe_for_size_tells_the_size():
    small = judged(MET, objective="size").model_copy(update={"final": candidate("final", size_bytes=1_075_000)})
    assert json.loads(badge.render(small))["message"] == "25 % of the size"


def test_a_badge_has_a_label_of_reasonable_length():
    assert 0 < len(json.loads(badge.render(judged(MET, name=NASTY * 10)))["label"]) <= 60
