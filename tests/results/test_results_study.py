from __future__ import annotations

import pytest
from pydantic import ValidationError
from study_example import example_study

from mlopt.results.study import StudyRecord


def test_a_study_comes_back_as_it_was_written() -> None:
    study = example_study()
    assert StudyRecord.model_validate_json(study.model_dump_json(by_alias=True)) == study


def test_what_no_study_has_is_refused() -> None:
    written = example_study().model_dump(mode="json", by_alias=True)
    for wrong in ({"more": 1}, {"schema": "mlopt.study/v2"}, {"seed": -1}, {"trials": [{"number": 1}]}):
        with pytest.raises(ValidationError):
            StudyRecord.model_validate({**written, **wrong})
