"""Two models that fit together are linked by name, type and shape; others stand side by side, and it is said why."""

from __future__ import annotations

import pytest
from deployed import CLASSES, LOGITS, content, pair

from mlopt.deploy.ensemble import fits, link
from mlopt.formats.model import TensorSpec


def test_outputs_that_are_inputs_link_two_models() -> None:
    first, second = pair()
    found, why = link((first, second))
    assert found is not None
    assert (found.name, found.fed, why) == ("features-head", ("h",), "features feeds h")
    assert [spec.name for spec in found.inputs] == ["image"]
    assert found.outputs == (CLASSES,)


def test_its_name_is_neither_of_theirs_however_long_they_are() -> None:
    first = content("f" * 63, outputs=(TensorSpec("h", "float32", ("batch", 10)),))
    found, _ = link((first, pair()[1]))
    assert found is not None
    assert found.name == "f" * 31 + "-head"


def test_other_inputs_of_the_second_come_with_the_request() -> None:
    first, _ = pair()
    mask = TensorSpec("mask", "bool", ("batch", 10))
    second = content("head", inputs=(TensorSpec("h", "float32", ("batch", 10)), mask))
    found, _ = link((first, second))
    assert found is not None
    assert [spec.name for spec in found.inputs] == ["image", "mask"]


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        (TensorSpec("z", "float32", ("batch", 10)), "no output of features has the name of an input of head"),
        (
            TensorSpec("h", "int64", ("batch", 10)),
            "features gives h: float32[batch, 10], and head takes h: int64[batch, 10]",
        ),
        (
            TensorSpec("h", "float32", ("batch", 9)),
            "features gives h: float32[batch, 10], and head takes h: float32[batch, 9]",
        ),
        (TensorSpec("h", "float32", ("batch", 5, 2)), "features gives h: float32[batch, 10], and head takes h: "),
    ],
)
def test_what_does_not_fit_is_told(taken: TensorSpec, why: str) -> None:
    found, told = link((pair()[0], content("head", inputs=(taken,))))
    assert found is None
    assert told.startswith(why)


def test_only_one_that_takes_batches_is_no_ensemble() -> None:
    first, _ = pair()
    second = content("head", inputs=(TensorSpec("h", "float32", (4, 10)),), outputs=(LOGITS,))
    assert link((first, second)) == (None, "only one of them takes batches")
    assert link((first,)) == (None, "an ensemble is made of two models")


def test_sizes_that_are_not_known_fit_any() -> None:
    assert fits(("n", 10), ("batch", 10))
    assert fits((3, "k"), ("batch", 10))
    assert not fits((3, 9), ("batch", 10))
    assert not fits((3,), (3, 1))
