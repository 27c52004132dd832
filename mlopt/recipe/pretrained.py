"""The recipe for a Hugging Face folder: its task says how it is judged, its files how samples become its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopt.formats.model import TORCH, Model, TensorSpec
from mlopt.formats.torch.pretrained import PREFIX, Pretrained
from mlopt.recipe.generate import Draft, looked_at, optional_passes
from mlopt.recipe.given_data import GivenData, described, unlabelled
from mlopt.recipe.scores import ClassOutputs

_EXPORT: Mapping[str, Any] = {"export": {}}


def draft_for_pretrained(found: Pretrained, inputs: tuple[TensorSpec, ...], data: Path | None) -> Draft:
    """Return the draft of a recipe for the model of a folder, whose inputs these are; raises ``DataError``."""
    outputs = (TensorSpec(found.output, "float32", ()),)
    model = Model(TORCH, found.folder, "", inputs, outputs, ())
    scores = _scores(found)
    given = described(data, inputs, found.folder, classes=found.classes, fixed=False) if data else GivenData()
    if scores is None:
        given = unlabelled(given)
    samples, labelled = looked_at(data, given, model, scores) if data else (0, False)
    declared = {spec.name: {"dtype": spec.dtype, "shape": list(spec.shape)} for spec in inputs}
    return Draft(
        found.folder, _metric(found, labelled=labelled), (_EXPORT, *optional_passes(samples)),
        declared={"inputs": declared, "outputs": [found.output]}, prefix=PREFIX, data=data, given=given,
        samples=samples,
    )  # fmt: skip


def _scores(found: Pretrained) -> ClassOutputs | None:
    """Return what its output tells apart; nothing of vectors, and of tokens no single label."""
    if found.task not in ("text classification", "image classification"):
        return None
    return ClassOutputs((found.output,), sequence=False, classes=len(found.classes) or None)


def _metric(found: Pretrained, *, labelled: bool) -> Mapping[str, Any]:
    if labelled:
        return {"name": "accuracy"}
    return {"name": "fidelity" if found.task == "embeddings" else "agreement"}
