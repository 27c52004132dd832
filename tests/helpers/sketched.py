"""Sketches of rows that are drawn here, and a signed artifact that holds them; nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import predicted
from gate_evidence import report

from mlopt import report as reports
from mlopt.artifact import layout
from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.sketches import SKETCHES, Sketcher, Sketches, SketchPlan, plan_like, plan_of, write

FEATURES, CLASSES = 5, 3
INPUTS = (TensorSpec("x", "float32", ("batch", FEATURES)),)
OUTPUTS = (TensorSpec("y", "float32", ("batch", CLASSES)),)
PLAN = plan_of(INPUTS, OUTPUTS)


def rows(count: int, seed: int = 0, shift: float = 0.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs, normal with deviation 1 and the second feature moved by ``shift``, and scores of three classes."""
    x = np.random.default_rng(seed).standard_normal((count, FEATURES)).astype(np.float32)
    x[:, 1] += shift
    return {"x": x}, {"y": np.ascontiguousarray(x[:, :CLASSES])}


def document(
    count: int, seed: int = 0, shift: float = 0.0, like: Sketches | None = None, digest: str | None = None
) -> Sketches:
    """Return the sketches of such rows; ``like`` are the reference's, whose range they then know."""
    return of(*rows(count, seed, shift), plan=PLAN if like is None else plan_like(like), digest=digest)


def of(inputs: dict[str, Any], outputs: dict[str, Any], plan: SketchPlan = PLAN, digest: str | None = None) -> Sketches:
    sketcher = Sketcher(plan)
    sketcher.add(inputs, outputs)
    return sketcher.document(digest)


def artifact(folder: Path, held: Sketches | None) -> Path:
    """Write ``folder``: a signed artifact of a small model, named like the folder, with these sketches if any."""

    def fill(into: Path) -> Content:
        predicted.words(into / "model.onnx")
        reports.write(report(), into / "report.json")
        files = {"model.onnx": Role.MODEL, "report.json": Role.REPORT}
        if held is not None:
            (into / SKETCHES).write_bytes(write(held))
            files[SKETCHES] = Role.SKETCHES
        return Content(
            name=folder.name, model=ModelEntry.of(open_onnx(into / "model.onnx"), into), runtime="onnxruntime",
            options=OnnxRuntimeOptions(threads=1).model_dump(), verdict="pass", files=files,
        )  # fmt: skip

    private = keys.user_key().private
    layout.write(folder, fill, seal=lambda into: sign(into, KeySigner(private)))
    return folder
