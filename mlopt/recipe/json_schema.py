"""The JSON Schema of a recipe: for editors, and for messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlopt.passes.base import Pass
from mlopt.recipe.schema import Recipe, step_model
from mlopt.recipe.schema_lookup import Schema


def json_schema(passes: Mapping[str, Pass[Any]]) -> Schema:
    """Return the schema (draft 2020-12) of recipes whose steps come from ``passes``."""
    models = {name: step_model(pass_) for name, pass_ in passes.items()}
    everything: list[type[BaseModel]] = [Recipe, *models.values()]
    refs, schema = models_json_schema([(model, "validation") for model in everything])
    steps = {
        name: {
            "anyOf": [refs[model, "validation"], {"type": "null"}],
            "description": passes[name].summary,
        }
        for name, model in models.items()
    }
    definitions = schema["$defs"]
    recipe, *_ = (definitions.pop(name) for name in ("Recipe", "Step", "PassConfig"))
    recipe["properties"]["passes"]["items"] = {
        "anyOf": [
            {"type": "string", "enum": list(steps)},
            {
                "type": "object",
                "properties": steps,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlopt recipe"}
    return {**head, **{key: value for key, value in recipe.items() if key != "title"}, "$defs": definitions}
