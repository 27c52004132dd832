"""What is refused before any load is put on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import UserError
from mlopt.gate.limits import Gate
from mlopt.loadtest.from_recipe import RecipeSamples
from mlopt.loadtest.request import LoadRequest, check
from mlopt.loadtest.slo import parse_slo

URL = "http://127.0.0.1:1"
SLO = parse_slo("p99=100ms")


def request(**parts: Any) -> LoadRequest:
    return LoadRequest(**({"target": URL, "rate": 100.0} | parts))


@pytest.mark.parametrize(
    "parts",
    [{}, {"gates": SLO, "ramp": True}, {"against": URL}, {"target": "artifacts/x"}, {"artifact": Path("x")},
     {"recipe": RecipeSamples(Path("x.yaml"), allow_code=False)},
     {"gates": (*SLO, Gate(metric="serving.rps_at_slo", min=1.0)), "ramp": True}],
)  # fmt: skip
def test_what_makes_sense_is_let_through(parts: dict[str, Any]) -> None:
    check(request(**parts))


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"rate": 1e5, "seconds": 100.0}, "so many requests"),
        ({"rate": 2e4, "seconds": 100.0, "against": URL}, "so many requests"),
        ({"rate": 0.01, "seconds": 1.0}, "no request would be sent"),
        ({"gates": SLO, "time_limit_s": 0.1}, "given up before its limit"),
        ({"target": "artifacts/x", "artifact": Path("y")}, "go with an address"),
        ({"target": "artifacts/x", "model": "m"}, "go with an address"),
        ({"data": Path("x.npz"), "recipe": RecipeSamples(Path("x.yaml"), allow_code=False)}, "both say what is asked"),
        ({"against": "artifacts/x"}, "--against takes an address"),
        ({"ramp": True}, "what to keep"),
        ({"ramp": True, "gates": (Gate(metric="serving.rps_at_slo", min=1.0),)}, "what to keep"),
        ({"ramp": True, "gates": SLO, "against": URL}, "contradict"),
        ({"ramp": True, "gates": SLO, "max_rate": 50.0}, "above its highest rate"),
        ({"gates": (Gate(metric="size_mb", max=1.0),)}, "measures a server"),
    ],
)
def test_what_does_not_is_refused(parts: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        check(request(**parts))


def test_the_artifact_that_is_served_is_the_truth() -> None:
    assert request(target="artifacts/x").truth == Path("artifacts/x")
    assert request(artifact=Path("y")).truth == Path("y")
    assert request().truth is None


def test_the_search_ends_somewhere() -> None:
    assert request().highest == 6400
    assert request(max_rate=150.0).highest == 150
