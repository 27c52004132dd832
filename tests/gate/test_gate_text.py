"""Gates on one line: what is understood, and the one thing that is said to be wrong with any other line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import GateError
from mlopt.gate.limits import Gate
from mlopt.gate.text import parse_gate
from mlopt.gate.vocabulary import METRICS


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("speedup.median >= 0.97", Gate(metric="speedup.median", min=0.97)),
        ("  latency.p95_ms<=12  ", Gate(metric="latency.p95_ms", max=12)),
        ("size_mb <= 1.5e1", Gate(metric="size_mb", max=15)),
        ("accuracy.drop_pt <= -.5", Gate(metric="accuracy.drop_pt", max=-0.5)),
        ("speedup.median >= 1.2 vs a b.onnx", Gate(metric="speedup.median", min=1.2, vs="a b.onnx")),
    ],
)
def test_a_line_is_a_gate(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "what", "got"),
    [
        ("", "this is no gate", None),
        ("speedup.median", "this is no gate", None),
        ("speedup.median >=", "this is no gate", None),
        (">= 0.97", "this is no gate", None),
        ("latency.p95_ms < 12", "a gate has a limit that may be reached", "<"),
        ("latency.p95_ms == 12", "a gate has a limit that may be reached", "=="),
        ("latency.p95_ms <= 12ms", "the limit is no number", "12ms"),
        ("latency.p95_ms <= nan", "the limit is no number", "nan"),
        ("size_mb <= 12 MB", "only `vs NAME` may follow the limit", "MB"),
        ("speedup.median >= 1 vs", "only `vs NAME` may follow the limit", "vs"),
        ("speedup.media >= 1", "there is no metric 'speedup.media'; did you mean 'speedup.median'?", None),
        ("size_mb <= 1 vs a.onnx", "`vs` does not go with size_mb: it compares with nothing", None),
        ("size_mb <= 1e999", "Input should be a finite number", None),
    ],
)
def test_one_cause_is_named(text: str, what: str, got: str | None) -> None:
    with pytest.raises(GateError) as caught:
        parse_gate(text)
    (problem,) = caught.value.problems
    assert (problem.what, problem.got, problem.where) == (what, got, f"--gate '{text}'")


@given(st.text() | st.from_regex(r"[a-z.]{1,12} ?[<>=]{1,2} ?[0-9e.+-]{1,8}( vs .*)?", fullmatch=True))
def test_any_text_is_a_gate_or_a_gate_error(text: str) -> None:
    with contextlib.suppress(GateError):
        assert parse_gate(text).metric in METRICS


@given(st.sampled_from(["size_mb", "speedup.median"]), st.floats(allow_nan=False, allow_infinity=False))
def test_every_limit_survives_being_written_and_read(metric: str, limit: float) -> None:
    assert parse_gate(f"{metric} >= {limit!r}").min == limit
