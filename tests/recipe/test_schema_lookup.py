"""What a place in a recipe may hold, for messages."""

from __future__ import annotations

from typing import Any

from mlopt.passes.base import Pass
from mlopt.recipe.json_schema import json_schema
from mlopt.recipe.schema_lookup import choices_at, description_at, keys_at


def test_it_tells_what_a_place_may_hold(passes: dict[str, Pass[Any]]) -> None:
    schema = json_schema(passes)
    assert keys_at(schema, ("target",)) == ["runtime", "device", "threads", "batch_size", "clients"]
    assert keys_at(schema, ("passes", 2, "quantize")) == ["mode", "scheme", "exclude", "reduce_range", "optional"]
    assert keys_at(schema, ("model", "inputs", "anything")) == ["dtype", "shape"]
    assert keys_at(schema, ("nowhere", 3)) == []
    assert choices_at(schema, ("passes", 2, "quantize", "scheme")) == ["auto", "u8s8", "s8s8"]
    assert choices_at(schema, ("objective",)) == ["latency", "throughput", "size"]
    assert "artifact" in (description_at(schema, ("name",)) or "")
    assert description_at(schema, ("model", "inputs", "x", "nothing")) is None


def test_alternatives_are_all_looked_into() -> None:
    schema = {
        "properties": {"a": {"anyOf": [{"$ref": "#/$defs/one"}, {"type": "null"}, {"const": "auto"}]}},
        "$defs": {
            "one": {"properties": {"x": {"enum": ["p", "q", 3]}}, "additionalProperties": {"items": {"enum": ["r"]}}}
        },
    }
    assert keys_at(schema, ("a",)) == ["x"]
    assert choices_at(schema, ("a",)) == ["auto"]
    assert choices_at(schema, ("a", "x")) == ["p", "q"]
    assert choices_at(schema, ("a", "any", 7)) == ["r"]
