"""A signed artifact with a small model, its data in a file of its own; what may be wrong with it, is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from bench_models import dense

from mlopt.artifact import layout
from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

WIDTH = 8


def signed_dense(
    tmp_path: Path,
    save: Callable[..., Path] = dense,
    options: dict[str, Any] | None = None,
    digest: str | None = None,
) -> Path:
    """Return ``tmp_path/dense``: the model x: float32[batch, 8] to h1, signed with the user's key."""

    def fill(folder: Path) -> Content:
        files = {"model.onnx": Role.MODEL, "report.json": Role.REPORT}
        save(folder / "model.onnx", width=WIDTH)
        if save is dense:
            proto = onnx.load(folder / "model.onnx")
            onnx.save(proto, folder / "model.onnx", save_as_external_data=True, location="data", size_threshold=0)
            files["data"] = Role.MODEL_DATA
        (folder / "report.json").write_text('{"verdict": "pass"}')
        entry = ModelEntry.of(open_onnx(folder / "model.onnx"), folder)
        return Content(
            name="dense", model=entry.model_copy(update={"digest": digest or entry.digest}),
            runtime="onnxruntime", options=options or OnnxRuntimeOptions(threads=1).model_dump(),
            verdict="pass", files=files,
        )  # fmt: skip

    private = keys.user_key().private
    layout.write(tmp_path / "dense", fill, seal=lambda folder: sign(folder, KeySigner(private)))
    return tmp_path / "dense"
