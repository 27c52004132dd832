"""What is told of one step, as plain data."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from mlopt.run.outlook import Outlook


def test_a_step_is_told_as_json_with_all_that_is_known_of_it() -> None:
    row = Outlook("quantize", "INT8", None, "not done before", optional=True, needs=("torch",))
    assert json.loads(json.dumps(row.as_json())) == {
        "name": "quantize", "detail": "INT8", "cached": None, "why": "not done before", "optional": True,
        "needs": ["torch"], "runtime": None, "skipped": False,
        "seconds": None, "basis": "",
    }  # fmt: skip


def test_what_was_told_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Outlook("fuse", "", True, "").cached = False  # type: ignore[misc]


def test_what_is_done_for_one_runtime_is_called_after_it() -> None:
    assert [Outlook("fuse", "", True, "", runtime=name).title for name in (None, "x")] == ["fuse", "fuse in x"]
