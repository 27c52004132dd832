"""A small artifact to sign, tamper with and verify: what ``layout.write`` calls to put the files in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.formats.model import ONNX, TensorSpec, digest_file
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

Fill = Callable[[Path], Content]


def filling(verdict: Any = "pass", weights: bytes = b"weights", nested: bool = False) -> Fill:
    """Return what puts a model, a report and, if ``nested``, a file in a folder of its own in place."""

    def put(folder: Path) -> Content:
        (folder / "model.onnx").write_bytes(weights)
        (folder / "report.json").write_text(json.dumps({"schema": "mlopt.report/v1", "verdict": verdict}))
        (folder / "report.md").write_text("# Report\n")
        files = {"model.onnx": Role.MODEL, "report.json": Role.REPORT, "report.md": Role.REPORT_PAGE}
        if nested:
            (folder / "raw").mkdir()
            (folder / "raw" / "final.json").write_text("{}")
            files["raw/final.json"] = Role.SAMPLES
        return Content(
            name="digits",
            model=ModelEntry(
                file="model.onnx",
                kind=ONNX,
                digest=digest_file(folder / "model.onnx"),
                inputs=(TensorSpec("image", "float32", ("batch", 1, 28, 28)),),
                outputs=(TensorSpec("logits", "float32", ("batch", 10)),),
            ),
            runtime="onnxruntime",
            options=OnnxRuntimeOptions(threads=2).model_dump(),
            verdict=verdict,
            files=files,
        )

    return put
