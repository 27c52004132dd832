"""Let ONNX Runtime fuse operators ahead of time, and say which of its fusions fired.

The file holds what ONNX Runtime would otherwise compute at each load, so it loads faster and every deployment runs the
same graph. Put it after ``quantize``: fused convolutions are hidden from the quantizer.

Cases: ``basic`` keeps to standard ONNX operators; ``extended`` adds ONNX Runtime's own (FusedConv, Attention, QLinear
forms), which only ONNX Runtime runs. ``all`` also bakes in this CPU's memory layout, so it must be asked for twice.

Limits: the result fits ONNX Runtime on CPUs of this kind (or CUDA, if that is the target).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx import graph
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import (
    changed_operators,
    interface_of,
    keep_interface,
    operators,
    strip_unused_opsets,
)
from mlopt.formats.onnx.int8_constants import own_zero_points
from mlopt.formats.onnx.save import save_model
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires, Searched
from mlopt.runtimes.onnxruntime import create_session, session_options
from mlopt.runtimes.onnxruntime_messages import fusions
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

if TYPE_CHECKING:
    import onnx

_VERBOSE = 0


class FuseConfig(PassConfig):
    """How far to go."""

    level: Annotated[Literal["basic", "extended", "all"], Searched("basic")] = Field(
        default="extended", description="ONNX Runtime's optimization level; all binds the file to this machine"
    )
    this_machine: bool = Field(default=False, description="agree that the file may run on this machine's CPU only")

    @model_validator(mode="after")
    def _bound_on_purpose(self) -> Self:
        if self.level == "all" and not self.this_machine:
            raise ValueError("level all bakes this CPU's memory layout into the file: add `this_machine: true`")
        return self

    @property
    def only_in(self) -> tuple[str, str] | None:
        """ONNX Runtime, unless its own operators are left out."""
        return None if self.level == "basic" else ("onnxruntime", "fuse: {level: basic}")

    @property
    def writes_form(self) -> str | None:
        """Its own operators are onnxruntime's."""
        return None if self.only_in is None else self.only_in[0]


def run(model: Model, config: FuseConfig, context: Context) -> PassResult:
    """Load the model once with the optimizer's result written to a file.

    What it did not change in other files, that file still names by the places that they have in the source's folder.
    """
    large = model.size_bytes > graph.EXTERNAL_DATA_ABOVE
    outside = large or model.size_bytes > graph.WORKED_ON_OUTSIDE_ABOVE
    path, (before, counted) = context.out / "model.onnx", _shown(model)
    with tempfile.TemporaryDirectory(dir=context.out) as folder:
        optimized = Path(folder) / "optimized.onnx"
        fired = _optimize(model, config, context, optimized, external=outside)
        proto = read_graph(optimized)
        strip_unused_opsets(proto)
        keep_interface(proto, before)
        own_zero_points(proto.graph)
        save_model(proto, path, external=large, source=optimized.parent if outside else model.path.parent)
    notes = {
        "level": config.level,
        "fusions": fired,
        "changed": changed_operators(counted, operators(proto.graph)),
        "device_bound": config.level == "all",
    }
    return PassResult(path, notes)


def _shown(model: Model) -> tuple[onnx.ModelProto, dict[str, int]]:
    """Return what is to stay as it is, and the operators: not the weights, which would be held meanwhile."""
    proto = read_graph(model.path)
    return interface_of(proto), operators(proto.graph)


def _optimize(model: Model, config: FuseConfig, context: Context, path: Path, *, external: bool) -> list[str]:
    """Let ONNX Runtime write ``path``, its weights beside it if ``external``; return the fusions that fired."""
    native = session_options(OnnxRuntimeOptions(threads=context.target.threads or 1, graph_optimization=config.level))
    native.optimized_model_filepath = str(path)
    native.log_severity_level = _VERBOSE
    if external:
        prefix = "session.optimized_model_external_initializers"
        native.add_session_config_entry(f"{prefix}_file_name", f"{path.name}.data")
        native.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
    with _native_stderr() as log:
        create_session(model, native, context.target.device)
        log.seek(0)
        return fusions(log.read())


@contextmanager
def _native_stderr() -> Iterator[IO[bytes]]:
    """Send file descriptor 2, which native code writes its log to, into a temporary file."""
    with tempfile.TemporaryFile() as log:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(saved, 2)
            os.close(saved)


PASS = Pass(
    name="fuse",
    version=4,
    summary="fuse operators ahead of time with ONNX Runtime, and list the fusions",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=FuseConfig,
    run=run,
    requires=Requires(extra="cpu", packages=("onnxruntime",), device_bound=True),
    proposed=True,
)
