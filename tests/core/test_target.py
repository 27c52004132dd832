"""The target of a recipe: closed, unchangeable, and which runtimes it names."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mlopt.core.target import AUTO, MAX_THREADS, Target


@pytest.mark.parametrize(
    ("runtime", "named"), [("onnxruntime", ("onnxruntime",)), (("b", "a"), ("b", "a")), (AUTO, ())]
)
def test_the_runtimes_that_are_named_keep_their_order(runtime: Any, named: tuple[str, ...]) -> None:
    assert Target(runtime=runtime).runtimes == named


@pytest.mark.parametrize(
    "given",
    [{"runtimes": "x"}, {"runtime": []}, {"device": "tpu"}, {"threads": 0}, {"threads": MAX_THREADS + 1},
     {"batch_size": 0}],
    ids=str,
)  # fmt: skip
def test_what_is_no_target_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(given)


def test_a_target_cannot_change_after_it_was_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Target().threads = 2
