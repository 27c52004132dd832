"""The schema of a load test: closed, frozen and finite."""

from __future__ import annotations

import math

import pytest
from load_example import record
from pydantic import ValidationError

from mlopt.results.serving import LoadTestRecord


def test_a_record_is_read_back_as_it_was_written() -> None:
    given = record()
    assert LoadTestRecord.model_validate_json(given.model_dump_json(by_alias=True), strict=True) == given


@pytest.mark.parametrize("changes", [{"schema": "mlopt.loadtest/v2"}, {"unknown": 1}, {"utilization": math.inf}])
def test_what_is_not_of_the_schema_is_refused(changes: dict[str, object]) -> None:
    plain = record().model_dump(mode="python", by_alias=True) | changes
    with pytest.raises(ValidationError):
        LoadTestRecord.model_validate(plain)


def test_a_record_does_not_change() -> None:
    with pytest.raises(ValidationError):
        record().verdict = "pass"  # type: ignore[misc]
