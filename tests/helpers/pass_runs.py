"""Drive any pass, in this process, on a small real model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from deployables import in_runtime

from mlopt.core.hardware import Hardware
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Array, Dataset, Samples, store
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.benchmarker import Benchmarker
from mlopt.passes.base import Context, Pass, PassResult, Refusal
from mlopt.runtimes.table import open_session

PLAIN_X86 = Hardware(cpu="a CPU", architecture="x86_64", isa=("avx", "avx2", "fma"), cores=2, memory_bytes=8 << 30)


def run_pass(
    pass_: Pass[Any],
    model: Model | Path,
    config: Mapping[str, Any],
    tmp_path: Path,
    *,
    calibration: Mapping[str, Array] | None = None,
    samples: Mapping[str, Array] | None = None,
    target: Target | None = None,
    objective: Objective = Objective.LATENCY,
    hardware: Hardware = PLAIN_X86,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[str, ...] = (),
    **more: Any,
) -> PassResult | Refusal:
    """Run as the framework does: first ``refuse``, then ``run`` into an empty directory below ``tmp_path``."""
    handle = open_onnx(model) if isinstance(model, Path) else model
    out = fresh(tmp_path, "out")
    context = Context(
        out=out, target=target or Target(threads=2), objective=objective, hardware=hardware,
        calibration=dataset(calibration, tmp_path), samples=dataset(samples, tmp_path), inputs=inputs, outputs=outputs,
        measuring=Benchmarker, **more,
    )  # fmt: skip
    parsed = pass_.config(**config)
    reason = pass_.refuse(handle, parsed, context)
    return Refusal(reason) if reason is not None else pass_.run(handle, parsed, context)


def applied(result: PassResult | Refusal) -> PassResult:
    """Return the result of a pass that must not have refused."""
    assert isinstance(result, PassResult), result
    return result


def dataset(arrays: Mapping[str, Array] | None, tmp_path: Path) -> Dataset | None:
    """Store arrays of shape [samples, ...] as a data set."""
    return None if arrays is None else store(Samples(arrays), fresh(tmp_path, "data"), "test data")


def fresh(tmp_path: Path, stem: str) -> Path:
    """Make a new directory."""
    number = sum(1 for _ in tmp_path.glob(f"{stem}*"))
    folder = tmp_path / f"{stem}{number}"
    folder.mkdir()
    return folder


def outputs_of(model: Model | Path, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
    """Run the model once, as it is: no optimization by the runtime hides what is in the file."""
    handle = open_onnx(model) if isinstance(model, Path) else model
    with open_session(in_runtime(handle, threads=2, graph_optimization="none")) as session:
        return session.run(feeds)
