"""Figures: what may be unknown is null with its reason, and what later versions added may be absent."""

from __future__ import annotations

import math

import pytest
from gate_evidence import FIDELITY, LATENCY, SPEEDUP
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlopt.results.figures import Accuracy, Fidelity, Latency, Speedup


def test_a_percentile_may_be_unknown_and_the_mean_may_not() -> None:
    stored = LATENCY.model_dump(mode="json")
    assert Latency.model_validate(stored | {"p99": None, "reasons": {"p99": "too few"}}).reasons == {"p99": "too few"}
    with pytest.raises(ValidationError, match="mean"):
        Latency.model_validate(stored | {"mean": None})


def test_what_an_older_version_did_not_write_is_null() -> None:
    stored = FIDELITY.model_dump(mode="json")
    for key in ("shift", "worst_part", "part", "outputs", "matched"):
        stored.pop(key, None)
    found = Fidelity.model_validate(stored)
    assert (found.shift, found.worst_part, found.part, found.outputs, found.matched) == (None, None, None, {}, None)
    ratio = SPEEDUP.model_dump(mode="json")
    ratio.pop("control", None)
    assert Speedup.model_validate(ratio).control is None


def test_no_figure_is_nan_or_infinite() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Accuracy(metric="accuracy", value=float("nan"), n=1, ci95=(0.0, 1.0))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_ratio_of_signal_to_noise_has_a_relative_error(sqnr_db: float) -> None:
    found = Fidelity(cosine=1.0, sqnr_db=sqnr_db, max_abs=0.0, n=1)
    assert math.isfinite(found.relative_error)
    if abs(sqnr_db) < 5000:
        assert found.relative_error == pytest.approx(10 ** (-sqnr_db / 20))
