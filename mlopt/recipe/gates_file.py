"""Gates in a file of their own: a YAML list, or a mapping with ``gates``, as a recipe has them, and ``hardware``."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlopt.core.errors import GateError, RecipeError
from mlopt.gate.baselines import load_baselines
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.recipe.document import Document, shorten
from mlopt.recipe.gate_places import Places, of_document
from mlopt.recipe.problems import in_file_order, translate
from mlopt.recipe.yaml_reader import read_file

__all__ = ["load_baselines", "load_gates", "places_in"]


class _GatesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    gates: tuple[Gate, ...] = Field(description="a list such as `- {metric: latency.p95_ms, max: 12}`")
    hardware: HardwareClass | None = Field(default=None, description="for the gates that have no `hardware` themselves")


def load_gates(path: Path) -> tuple[Gate, ...]:
    """Read the gates in ``path``; raises ``GateError`` with every problem and its line and column."""
    return _read(path)[0]


def places_in(path: Path) -> Places:
    """Return where the gates in ``path`` stand; raises as ``load_gates`` does."""
    gates, document = _read(path)
    return of_document(path, document, gates)


def _read(path: Path) -> tuple[tuple[Gate, ...], Document]:
    try:
        document = _as_mapping(read_file(path))
    except RecipeError as error:
        raise GateError.of(error.problems) from error
    if not isinstance(document.data, dict):
        raise GateError(
            "these are no gates", where=str(path), got=shorten(document.data),
            expected="a list such as `- {metric: latency.p95_ms, max: 12}`, or `gates:` with that list",
        )  # fmt: skip
    try:
        found = _GatesFile.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems = in_file_order(document, translate(error, document, _GatesFile.model_json_schema()))
        raise GateError.of(problems) from error
    gates = (gate if gate.hardware else gate.model_copy(update={"hardware": found.hardware}) for gate in found.gates)
    return tuple(gates), document


def _as_mapping(document: Document) -> Document:
    """Put a bare list under the key ``gates``, its places with it."""
    if not isinstance(document.data, list):
        return document
    return Document(
        {"gates": document.data},
        {("gates", *path): place for path, place in document.keys.items()},
        {(): document.values[()]} | {("gates", *path): place for path, place in document.values.items()},
    )
