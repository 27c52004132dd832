"""The parts of a report: closed, frozen, finite, and of bounded length."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from mlopt.results.report import Cpu
from mlopt.results.section import Few, Free, Section


class Part(Section):
    """A part of its own."""

    few: Few[tuple[int, ...]] = ()
    figure: float = 0.0
    free: Free = Field(default_factory=dict)


@pytest.mark.parametrize("count", [-1, 2**53 + 1, 1.5])
def test_a_count_is_a_whole_number_that_a_float_holds(count: float) -> None:
    with pytest.raises(ValidationError):
        Cpu(model="x", isa=(), cores=count)  # type: ignore[arg-type]
    assert Cpu(model="x", isa=(), cores=2**53).cores == 2**53


def test_a_part_is_closed_and_frozen_and_holds_finite_numbers() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Part.model_validate({"other": 1})
    with pytest.raises(ValidationError, match="frozen"):
        Part().figure = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="finite"):
        Part(figure=float("nan"))


def test_few_are_at_most_200() -> None:
    assert len(Part(few=(1,) * 200).few) == 200
    with pytest.raises(ValidationError, match="at most 200"):
        Part(few=(1,) * 201)


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_what_is_read_is_finite_wherever_it_lies(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Part.model_validate_json(f'{{"free": {{"a": [1, {{"b": {text}}}]}}}}')
    assert caught.value.errors()[0]["loc"] == ("free", "a", 1, "b")
