"""Asking both the same: what is alike is counted so, and what does not answer is not counted against the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from rollout_world import listening

from mlopt.core.errors import DataError
from mlopt.protocol.messages import InferAnswer, read_request, write_answer
from mlopt.rollout.observed import Observed
from mlopt.rollout.probe import AnswerProbe, alike, answered

ROWS = {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}


def backend(change: Callable[[Any], Any], status: int = 200) -> Callable[..., tuple[Any, ...]]:
    """Answer with what was asked, changed. A request's head and bytes are told apart by the end of its JSON."""

    def answer(method: str, path: str, token: str | None, body: bytes) -> tuple[Any, ...]:
        assert path == "/v2/models/m/infer"
        head = body.rindex(b"}") + 1
        found = read_request(body, str(head))
        message = write_answer(InferAnswer({"y": change(found.inputs["x"])}, "m"), None)
        return status, message.body, dict(message.headers)

    return answer


def test_rows_are_asked_in_turn_and_compared() -> None:
    probe = AnswerProbe(ROWS, per_look=4)
    with (
        listening(backend(lambda x: x + 1)) as one,
        listening(backend(lambda x: x * (1.01 if x[0, 0] < 3 else 2) + 1)) as two,
    ):
        found = probe.look(f"{one}/v2/models/m", f"{two}/v2/models/m")
        assert found == Observed(same=3, different=1)
        assert probe.look(f"{one}/v2/models/m", f"{two}/v2/models/m") == Observed(same=3, different=1)


def test_who_does_not_answer() -> None:
    probe = AnswerProbe(ROWS, per_look=2)
    with listening(backend(lambda x: x)) as one, listening(backend(lambda x: x, 500)) as two:
        good, bad = f"{one}/v2/models/m", f"{two}/v2/models/m"
        assert probe.look(good, bad) == Observed(failed=2)
        assert probe.look(bad, good) == Observed()
        assert probe.look(good, "http://127.0.0.1:1/v2/models/m") == Observed(failed=2)


def test_an_answer_that_is_none_of_the_protocol_is_none() -> None:
    with listening(lambda *_: (200, "<html>")) as url:
        assert answered(f"{url}/v2/models/m", {"x": ROWS["x"][:1]}) is None


@given(some.lists(some.floats(-1e6, 1e6, width=32), min_size=1, max_size=5), some.floats(0, 0.049))
def test_numbers_may_be_a_little_apart(values: list[float], by: float) -> None:
    wanted = {"y": np.array(values, np.float32)}
    assert alike(wanted, {"y": (wanted["y"].astype(np.float64) * (1 + by)).astype(np.float32)}, 0.05)
    assert alike(wanted, wanted, 0.0)


@pytest.mark.parametrize(
    "found",
    [
        {"z": np.array([1.0, 2.0])}, {"y": np.array([[1.0, 2.0]])}, {"y": np.array([1, 2])},
        {"y": np.array([1.0, 2.5])},
        {"y": np.array([1.0, np.nan])}, {"y": np.array([1.0, 2.0]), "z": np.array([1.0])}, {},
    ],
)  # fmt: skip
def test_what_differs(found: dict[str, Any]) -> None:
    assert not alike({"y": np.array([1.0, 2.0])}, found, 0.05)


def test_whole_numbers_and_texts_must_be_equal() -> None:
    for wanted, other in ((np.array([100]), np.array([101])), (np.array(["a"]), np.array(["b"]))):
        assert alike({"y": wanted}, {"y": wanted.copy()}, 0.5)
        assert not alike({"y": wanted}, {"y": other}, 0.5)


def test_infinity_and_nan_are_like_themselves() -> None:
    one = {"y": np.array([np.inf, np.nan, 1.0])}
    assert alike(one, {"y": one["y"].copy()}, 0.0)
    assert not alike(one, {"y": np.array([-np.inf, np.nan, 1.0])}, 0.5)


def test_rows_from_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", **ROWS)
    assert AnswerProbe.of(tmp_path / "rows.npz", 0.1).rows["x"].tolist() == ROWS["x"].tolist()
    np.savez(tmp_path / "uneven.npz", x=ROWS["x"], y=np.zeros(2))
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("no")
    for name in ("uneven", "pickled", "text", "absent"):
        with pytest.raises(DataError):
            AnswerProbe.of(tmp_path / f"{name}.npz", 0.1)
