"""Where a search begins: what the model is made of, and what was worth most on models like it, in earlier studies.

A prior only orders the first trials. It holds back nothing: every point of the space can still be proposed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from mlopt.core.locks import locked
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import read_graph
from mlopt.results.study import TrialRecord
from mlopt.tune.space import AS_IS, RUNTIME, Point, Space, key_of, session_of

FOLDER = "studies"
"""In the cache."""
PRIOR, EARLIER = "prior", "earlier study"
_KEPT, _TAKEN, _ALIKE = 500, 3, 0.9
_SESSIONS = 4
_LIGHT = 20_000_000
_MATRIX = ("MatMul", "Gemm", "Attention", "MultiHeadAttention")
_CONVOLUTIONS = ("Conv", "ConvTranspose")


class Traits(BaseModel):
    """What a model is, as far as a search wants to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operators: dict[str, int]
    """How many nodes of each type."""
    bytes: int
    macs: int | None
    """Multiplications of one inference; None where they cannot be counted."""
    dtypes: tuple[str, ...]
    """Of the inputs."""

    def share(self, *types: str) -> float:
        """Return the part of the nodes that computes with weights and is of these types."""
        weighted = sum(self.operators.get(each, 0) for each in (*_MATRIX, *_CONVOLUTIONS))
        return sum(self.operators.get(each, 0) for each in types) / max(1, weighted)


class EarlierFinding(BaseModel):
    """What an earlier study found best, the best first."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    traits: Traits
    cpu: str
    objective: str
    points: tuple[dict[str, JsonValue], ...]


def traits_of(model: Model, macs: int | None) -> Traits:
    """Return what a model is; ``macs`` are its multiplications."""
    counts = Counter(node.op_type for node in read_graph(model.path).graph.node) if model.kind == ONNX else {}
    dtypes = tuple(spec.dtype for spec in model.inputs)
    return Traits(operators=dict(counts), bytes=model.size_bytes, macs=macs, dtypes=dtypes)


def first_points(space: Space, traits: Traits, best: Point) -> list[tuple[dict[str, JsonValue], str]]:
    """Return what is worth a try first, the most promising at the start; ``best`` is what the recipe came to."""
    found = [_of_kind(space, traits, best), _of_sessions(space, best)]
    light = traits.macs is not None and traits.macs < _LIGHT  # then threads cost more than the arithmetic does
    every = map(space.completed, chain.from_iterable(reversed(found) if light else found))
    new = {key_of(point): point for point in every if key_of(point) != key_of(best)}
    return [(point, PRIOR) for point in new.values()]


def earlier_points(
    space: Space, traits: Traits, root: Path, cpu: str, objective: str
) -> list[tuple[dict[str, JsonValue], str]]:
    """Return what was best in the study of the most similar model, on such a CPU, if there is one that is alike."""
    every = [each for each in _read(root) if each.cpu == cpu and each.objective == objective]
    found = max(every, key=lambda each: alike(each.traits, traits), default=None)
    if found is None or alike(found.traits, traits) < _ALIKE:
        return []
    known = {each.name: set(map(json.dumps, each.values)) for each in space.parameters}
    fit = [
        {name: value for name, value in point.items() if json.dumps(value) in known.get(name, ())}
        for point in found.points
    ]
    return [(space.completed(point), EARLIER) for point in fit]


def remember(root: Path, traits: Traits, cpu: str, objective: str, ranked: Sequence[TrialRecord]) -> None:
    """Keep what a study found best, in the cache; raises ``OSError`` and ``OutputError`` where it cannot be written."""
    points = tuple(dict(each.params) for each in ranked[:_TAKEN])
    line = EarlierFinding(traits=traits, cpu=cpu, objective=objective, points=points).model_dump_json()
    with locked(root / "locks" / FOLDER):
        folder = root / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = [each.model_dump_json() for each in _read(root) if each.traits != traits][1 - _KEPT :]
        new = folder / "found.new"
        new.write_text("\n".join([*kept, line]) + "\n", encoding="utf-8")
        new.replace(folder / "found.jsonl")


def alike(one: Traits, other: Traits) -> float:
    """Return how much two models are of the same operators, 0 to 1; of other input types they are not alike."""
    if set(one.dtypes) != set(other.dtypes):
        return 0.0
    names = {*one.operators, *other.operators}
    dot = sum(one.operators.get(name, 0) * other.operators.get(name, 0) for name in names)
    sizes = (math.sqrt(sum(count**2 for count in each.operators.values())) for each in (one, other))
    return dot / max(1e-9, math.prod(sizes))


def _of_sessions(space: Space, best: Point) -> Iterator[dict[str, JsonValue]]:
    """Yield the recipe's result with one option of its session changed."""
    name = session_of(str(best[RUNTIME]))
    values = next((each.values for each in space.parameters if each.name == name), ())
    for value in [each for each in values if each != AS_IS][:_SESSIONS]:
        yield {**best, name: value}


def _of_kind(space: Space, traits: Traits, best: Point) -> Iterator[dict[str, JsonValue]]:
    """Yield ways to quantize that suit the operators, in each runtime, and none."""
    steps = [slot.name for slot in space.slots if "mode" in type(slot.step.config).space()]
    runtimes = [best[RUNTIME], *(name for name in space.sessions if name != best[RUNTIME])]
    for step in steps:
        for runtime in runtimes:
            for settings in _suiting(traits):
                yield {RUNTIME: runtime, step: True, **{f"{step}.{key}": value for key, value in settings.items()}}
        for runtime in runtimes:
            yield {RUNTIME: runtime, step: False}


def _suiting(traits: Traits) -> Iterator[Mapping[str, JsonValue]]:
    """Yield settings of INT8: fixed scales for convolutions, for matrix products those that follow the input."""
    if traits.share(*_CONVOLUTIONS) >= 0.5:
        yield {"mode": "static"}
        yield {"mode": "static", "calibration": "percentile"}
        yield {"mode": "static", "keep_first": 1}
    else:
        yield {"mode": "dynamic"}
        yield {"mode": "static", "smooth_quant": True}
        yield {"mode": "static"}


def _read(root: Path) -> list[EarlierFinding]:
    """Read what is kept; a line that is damaged is passed over, since nothing is decided by these."""
    path = root / FOLDER / "found.jsonl"
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            found.append(EarlierFinding.model_validate_json(line))
        except ValidationError:
            continue
    return found
