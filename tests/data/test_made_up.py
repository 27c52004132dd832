"""Samples for a model without data: sizes that it takes, whatever its free dimensions have to do with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import ModelError, Problem
from mlopt.data.dataset import Samples
from mlopt.data.feeds import batches, check_inputs
from mlopt.data.made_up import fit, has_choice, samples_of
from mlopt.data.sizes import attempts
from mlopt.formats.model import TensorSpec

Shapes = Mapping[str, tuple[int, ...]]


def spec(name: str, *shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def fitted(specs: tuple[TensorSpec, ...], takes: Callable[[Shapes], bool], batch_size: int = 2) -> Shapes:
    """Return the shapes that a model of these inputs is fed in the end."""

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        if not takes({name: array.shape for name, array in feeds.items()}):
            raise ModelError("ONNX Runtime could not run the model: sizes differ")
        return {"y": np.zeros(1, np.float32)}

    given = check_inputs(fit(specs, run, batch_size, {}), specs)
    return {name: array.shape for name, array in next(batches(given, specs, batch_size))[0].items()}


IMAGE = spec("image", "batch", 3, "height", "width")
UNNAMED = spec("x", "x_0", "x_1", 4)
STATES = (spec("h0", 2, "h0_1", 6), spec("c0", 2, "c0_1", 6))
DECODER = (
    spec("ids", "batch", "sequence_length", dtype="int64"),
    spec("mask", "batch", "past_sequence_length + sequence_length", dtype="int64"),
    spec("past", "batch", 2, "past_sequence_length", 8),
)
TOTAL = (
    spec("ids", "b", "sequence", dtype="int64"), spec("mask", "b", "total_sequence"), spec("past", "b", 2, "past", 8),
)  # fmt: skip

CASES: dict[str, tuple[tuple[TensorSpec, ...], Callable[[Shapes], bool], Shapes]] = {
    "any picture": ((IMAGE,), lambda s: True, {"image": (2, 3, 16, 16)}),
    "a multiple of 32": ((IMAGE,), lambda s: s["image"][2] % 32 == 0, {"image": (2, 3, 32, 32)}),
    "patches of 14": ((IMAGE,), lambda s: s["image"][2] % 14 == 0, {"image": (2, 3, 224, 224)}),
    "wide": ((IMAGE,), lambda s: s["image"][2] == 2 * s["image"][3], {"image": (2, 3, 32, 16)}),
    "one at a time": ((spec("image", 1, 3, 8, 8),), lambda s: True, {"image": (1, 3, 8, 8)}),
    "text": ((spec("ids", "batch", "sequence", dtype="int64"),), lambda s: True, {"ids": (2, 16)}),
    "a batch at two places": (
        (spec("x", "batch", "time", 4), spec("h0", 2, "batch", 6)),
        lambda s: s["x"][0] == s["h0"][1], {"x": (1, 16, 4), "h0": (2, 1, 6)},
    ),
    "states without names": (
        (UNNAMED, *STATES), lambda s: s["x"][0] == s["h0"][1] == s["c0"][1],
        {"x": (16, 16, 4), "h0": (2, 16, 6), "c0": (2, 16, 6)},
    ),
    "time first": ((spec("x", "time", "batch", 4),), lambda s: True, {"x": (16, 1, 4)}),
    "a square of the batch": ((spec("x", "n", "n"),), lambda s: s["x"][0] == s["x"][1], {"x": (1, 1)}),
    "a sum that is written": (
        DECODER, lambda s: s["mask"][1] == s["ids"][1] + s["past"][2],
        {"ids": (2, 16), "mask": (2, 32), "past": (2, 2, 16, 8)},
    ),
    "a sum that is called total": (
        TOTAL, lambda s: s["mask"][1] == s["ids"][1] + s["past"][2],
        {"ids": (2, 16), "mask": (2, 32), "past": (2, 2, 16, 8)},
    ),
    "no past yet": (
        TOTAL, lambda s: s["past"][2] == 0 and s["mask"][1] == s["ids"][1],
        {"ids": (2, 16), "mask": (2, 16), "past": (2, 2, 0, 8)},
    ),
    "one token after the past": (
        DECODER, lambda s: s["ids"][1] == 1 and s["mask"][1] == 1 + s["past"][2],
        {"ids": (2, 1), "mask": (2, 17), "past": (2, 2, 16, 8)},
    ),
    "a sum without a name": (
        (spec("a", "b", "s"), spec("c", "b", "t"), spec("d", "b", "u")),
        lambda s: s["d"][1] == s["a"][1] + s["c"][1], {"a": (2, 16), "c": (2, 16), "d": (2, 32)},
    ),
    "a scalar and a state": (
        (spec("audio", "batch", "samples"), spec("state", 2, "batch", 128), spec("rate", dtype="int64")),
        lambda s: True, {"audio": (1, 16), "state": (2, 1, 128), "rate": ()},
    ),
    "a graph": (
        (spec("nodes", "nodes", 8), spec("edges", 2, "edges", dtype="int64")),
        lambda s: s["nodes"][0] > 1, {"nodes": (16, 8), "edges": (2, 16)},
    ),
    "names that look like arithmetic": (
        (spec("my-input", "my-input_0", "my-input_1"), spec("a/b", "a/b_0", "2*s0")),
        lambda s: True, {"my-input": (2, 16), "a/b": (2, 16)},
    ),
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("name", CASES)
def test_sizes_are_found_that_the_model_takes(name: str) -> None:
    specs, takes, expected = CASES[name]
    assert fitted(specs, takes) == expected


def values(*specs: TensorSpec, other: bool = False, words: Mapping[str, tuple[str, ...]] | None = None) -> Samples:
    from dataclasses import replace

    return samples_of(replace(next(attempts(specs)), other_values=other), specs, words)


def test_values_follow_what_a_name_says() -> None:
    shape = ("batch", "time")
    names = ("attention_mask", "position_ids", "ids", "lengths", "sampling_rate")
    integers = [spec(name, *(shape[:1] if name == "lengths" else shape), dtype="int64") for name in names]
    found = values(*integers, spec("padding_mask", *shape, dtype="bool"), spec("x", *shape)).inputs
    for mask in (found["attention_mask"], found["padding_mask"]):
        assert (mask[:, :-1] == 1).all()
        assert set(mask[:, -1].tolist()) == {0, 1}  # a mask that hides nothing shows nothing
    assert (found["position_ids"] == np.arange(16)).all()
    assert set(np.unique(found["ids"])) == {0, 1}
    assert (found["lengths"] == 16).all()
    assert (found["sampling_rate"] == 16000).all()
    other = values(*integers, spec("padding_mask", *shape, dtype="bool"), spec("x", *shape), other=True).inputs
    assert not other["padding_mask"][:, :-1].any()
    assert (other["ids"][:, :-1] == 1).all()
    assert (other["x"] > 0).all()


def test_texts_are_those_that_the_model_knows() -> None:
    found = values(spec("city", "n", dtype="string"), words={"city": ("Rome", "Oslo")}).inputs["city"]
    assert set(found) == {"Rome", "Oslo"}
    assert found.dtype.kind == "U"


@pytest.mark.heavy
@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(["bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64", "string"]),
    shape=st.lists(st.integers(1, 3) | st.sampled_from(["batch", "t", "t + u", "u"]), max_size=4),
    name=st.sampled_from(["x", "mask", "position_ids", "lengths", "sr"]),
)
def test_every_dtype_and_shape_is_fed(dtype: str, shape: list[int | str], name: str) -> None:
    specs = (spec(name, *shape, dtype=dtype),)
    for attempt in islice(attempts(specs), 8):
        samples = check_inputs(samples_of(attempt, specs), specs)
        feeds, real = next(batches(samples, specs, 2))
        assert real
        assert len(feeds[name].shape) == len(shape)


def test_values_that_give_numbers_are_preferred() -> None:
    specs = (spec("x", "batch", "t"),)

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        with np.errstate(invalid="ignore"):
            return {"y": np.log(feeds["x"])}

    assert (fit(specs, run, 2, {}).inputs["x"] > 0).all()
    assert (fit(specs, lambda feeds: {"y": np.array([np.nan])}, 2, {}).inputs["x"] < 0).any()  # nothing helps


def failing(got: str | None, specs: tuple[TensorSpec, ...] = (spec("x", "batch", "h"),)) -> Problem:
    def run(_: Mapping[str, Any]) -> dict[str, Any]:
        raise ModelError("the model's forward() failed", got=got)

    with pytest.raises(ModelError) as caught:
        fit(specs, run, 2, {})
    return caught.value.problems[0]


def test_what_was_tried_is_told_where_sizes_may_be_to_blame() -> None:
    fix = failing("IndexError: index out of range").fix
    assert fix is not None
    assert fix.startswith("the inputs were made up, and ")
    assert "h: 1, 8, 16, 32, 64, 128, 224, 256, 512" in fix, fix
    assert "--data FILE.npz" in fix
    fix = failing(None, (spec("ids", 1, 3, dtype="int64"),)).fix
    assert fix is not None
    assert "this model may not take such values" in fix


@pytest.mark.parametrize(
    ("got", "likely"),
    [
        ("IndexError: index out of range in self", True),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x5 and 4x2)", True),
        ("AssertionError: the height must be a multiple of 32", True),
        ("RuntimeError: expected scalar type Long but found Float", False),
        ("TypeError: forward() got an unexpected keyword argument 'mask'", False),
        ("ModuleNotFoundError: No module named 'torchvison'", False),
        ("AttributeError: 'Net' object has no attribute 'head'", False),
        ("KeyError: 'hidden'", False),
    ],
)
def test_made_up_inputs_are_blamed_only_where_they_may_be_the_cause(got: str, likely: bool) -> None:
    assert (failing(got).fix is not None) is likely


def test_only_free_sizes_are_told() -> None:
    assert values(spec("x", "batch", 4)).notes == ()
    (note,) = values(spec("x", "batch", 3, "t")).notes
    assert note == "inputs were made up, each sample in this size: x [3, 16]; --data FILE gives real ones"


def test_a_choice_is_where_another_attempt_makes_sense() -> None:
    assert not has_choice((spec("x", "batch", 3, 8, 8),))
    assert has_choice((spec("x", "batch", 3, "h", 8),))
    assert has_choice((spec("x", "batch", 3, dtype="int64"),))
    assert has_choice((spec("x", "batch", 3), spec("y", "batch", 3)))
