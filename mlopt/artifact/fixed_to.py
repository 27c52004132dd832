"""What the manifest says that a model is fixed to, so that it can be read without opening the model."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mlopt.formats.fixed import thawed
from mlopt.formats.model import Model


class FixedTo(BaseModel):
    """What a model was made for alone; the file says the same, and sessions hold feeds against it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    dims: dict[str, int] = Field(description="sizes by the name that the dimension had")
    inputs: dict[str, JsonValue] = Field(description="the value of each input that has only one")

    @classmethod
    def of(cls, model: Model) -> Self | None:
        """Return what ``model`` is fixed to; None if that is nothing."""
        fixed = {name: thawed(value) for name, value in model.fixed.items()}
        return cls(dims=dict(model.sizes), inputs=fixed) if fixed or model.sizes else None
