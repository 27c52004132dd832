"""What every part of the report is made of: closed, frozen and of bounded length, since it may come from anybody."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

T = TypeVar("T")
Few = Annotated[T, Field(max_length=200)]
Many = Annotated[T, Field(max_length=2000)]
"""More of anything than a run can give is refused: a page of it would take minutes to make."""
Interval = tuple[float, float]
Verdict = Literal["pass", "fail", "inconclusive"]
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A whole number that a float holds exactly: a report may come from anybody, and figures are computed from it."""


def _finite(free: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Refuse NaN and infinity anywhere in what was read as JSON, naming the place; what a run notes is its own."""
    found = _not_finite(free) if info.mode == "json" else None
    if found:
        place, number = found
        raise ValidationError.from_exception_data(
            "free", [{"type": "finite_number", "loc": place, "input": number}], "json"
        )
    return free


def _not_finite(inside: dict[str, Any] | list[Any]) -> tuple[tuple[str | int, ...], float] | None:
    """Return the first such number, and where it is: the parser of JSON has bounded how deep that can be."""
    for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
        if isinstance(value, (dict, list)):
            if found := _not_finite(value):
                return (key, *found[0]), found[1]
        elif isinstance(value, float) and not isfinite(value):
            return (key,), value
    return None


Free = Annotated[dict[str, Any], AfterValidator(_finite)]
"""Whatever a pass, a runtime or a data set has to say: any JSON."""


class Section(BaseModel):
    """The base of every part of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
