"""What a recipe may say of a data set: closed, unchangeable, and refused where it means nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from mlopt.data.source import DataSource, ImageOptions, TextOptions


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.6, 0.4), (-0.1, 0.5), (0.5, 1.1)])
def test_a_split_that_means_nothing_is_refused(split: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match=r"0\.0 <= from < to <= 1\.0"):
        DataSource(source="x.npz", split=split)


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="mean needs one value or 3"):
        ImageOptions(mean=(0.5, 0.5))
    with pytest.raises(ValidationError, match="std must be above 0"):
        ImageOptions(std=(0.0,))


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (TextOptions, {"tokenizer": "t.json", "pad_token": "x", "pad_id": 0}, "give pad_token or pad_id, not both"),
        (TextOptions, {"tokenizer": ""}, "at least 1 character"),
        (TextOptions, {"tokenizer": "t.json", "max_length": 0}, "greater than or equal to 1"),
        (ImageOptions, {"color": "gray", "std": [1, 1, 1]}, "std needs one value or 1"),
        (ImageOptions, {"scale": 0}, "greater than 0"),
        (DataSource, {"source": "x.npz", "limit": 0}, "greater than or equal to 1"),
        (DataSource, {"source": "x.npz", "labls": "y"}, "Extra inputs are not permitted"),
        (DataSource, {}, "Field required"),
    ],
)
def test_what_means_nothing_is_refused(kind: type[BaseModel], given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        kind.model_validate(given)


def test_a_source_cannot_change_after_it_was_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DataSource(source="x.npz").limit = 3


def text_source(**text: str) -> DataSource:
    return DataSource(source="d.jsonl", text=TextOptions(tokenizer="t.json", **text))


def test_labels_that_a_source_does_not_name_are_those_of_another_part() -> None:
    other = DataSource(source="b.npz", labels="y")
    assert DataSource(source="a.npz").labelled_like(other).labels == "y"
    assert DataSource(source="a.npz", labels="own").labelled_like(other).labels == "own"
    found = text_source(field="query").labelled_like(text_source(label="kind"))
    assert found.names_labels
    assert found.text == TextOptions(tokenizer="t.json", field="query", label="kind")
    own = text_source(label="own")
    assert own.labelled_like(text_source(label="kind")) is own


def test_a_text_takes_no_label_from_a_source_that_has_no_text() -> None:
    found = text_source(field="query").labelled_like(DataSource(source="b.npz", labels="y"))
    assert found.text == TextOptions(tokenizer="t.json", field="query")
