"""ONNX Runtime, on the CPU or on a CUDA GPU.

A GPU that was asked for is used or it is an error: ONNX Runtime itself would fall back to the CPU and say nothing.
Its numbers come with the threads that were asked for, one operator at a time, and no telemetry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.errors import MissingPackage, ModelError
from mlopt.model import Kind, Model
from mlopt.packages import install_command
from mlopt.runtimes.base import Feeds, Runtime, RuntimeOptions, Session

if TYPE_CHECKING:
    import onnxruntime

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_ERRORS_ONLY, _NOTHING = 3, 4
_NO_TENSOR = frozenset({"sequence_type", "map_type", "optional_type", "sparse_tensor_type"})
_NOT_IN_NUMPY = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"})


class OnnxRuntime:
    """Runs ONNX files."""

    name: str = "onnxruntime"
    kinds: frozenset[Kind] = frozenset({Kind.ONNX})
    extra: str = "cpu"
    packages: tuple[str, ...] = ("onnxruntime",)

    @contextmanager
    def open(self, model: Model, options: RuntimeOptions) -> Iterator[Session]:
        """Load the file by its path, so that external data of any size is found beside it."""
        for spec in (*model.inputs, *model.outputs):
            if spec.dtype in _NO_TENSOR:
                raise ModelError(
                    "what is no tensor can be neither fed nor compared", where=f"{model.path}: '{spec.name}'",
                    got=f"a {spec.dtype.removesuffix('_type')}", expected="tensors",
                    fix="convert scikit-learn's models with options={'zipmap': False}; of others, cut the node off",
                )  # fmt: skip
            if spec.dtype in _NOT_IN_NUMPY:
                raise ModelError(
                    "ONNX Runtime cannot exchange this dtype as a NumPy array", where=f"{model.path}: '{spec.name}'",
                    got=spec.dtype, expected="a NumPy dtype", fix="keep inputs and outputs in float32 or float16",
                )  # fmt: skip
        session = create_session(model, session_options(options), options.device)
        yield _Session(model, session)


class _Session:
    def __init__(self, model: Model, session: onnxruntime.InferenceSession) -> None:
        self.inputs = model.inputs
        self.outputs = model.outputs
        self._session = session
        self._names = [value.name for value in session.get_outputs()]
        self._errors = runtime_errors()
        self._where = str(model.path)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        try:
            outputs = self._session.run(None, dict(feeds))
        except self._errors as error:
            got = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feeds.items())
            raise ModelError(
                f"ONNX Runtime could not run the model: {cause(error)}", where=self._where, got=got or "no inputs",
                expected="; ".join(str(spec) for spec in self.inputs),
            ) from error  # fmt: skip
        return dict(zip(self._names, map(_as_text, outputs), strict=True))


def _as_text(output: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return text as NumPy's own, which can be stored and compared; ONNX Runtime gives it as Python objects."""
    return output.astype(str) if output.dtype == object else output


def import_onnxruntime() -> Any:
    """Return the module, its telemetry off; raises ``MissingPackage``."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage("ONNX Runtime is not installed", got=str(error), fix=install_command("cpu")) from error
    return onnxruntime


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its native exceptions, which share no base of their own, and two of Python's."""
    state = import_onnxruntime().capi.onnxruntime_pybind11_state
    native = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*native, ValueError, RuntimeError)


def cause(error: Exception) -> str:
    """Return what went wrong in one line, without ONNX Runtime's error codes."""
    text = " ".join(str(error).split())
    said = text.rpartition("[ONNXRuntimeError] : ")[2].split(" : ", 2)[-1]
    return re.sub(r"^Load model from .* failed: ?", "", said)[:400]


def session_options(options: RuntimeOptions) -> onnxruntime.SessionOptions:
    """Translate: ``threads`` inside an operator, and operators one after the other."""
    ort = import_onnxruntime()
    native = ort.SessionOptions()
    native.intra_op_num_threads = options.threads
    native.inter_op_num_threads = 1
    native.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    native.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[options.graph_optimization])
    native.log_severity_level = _ERRORS_ONLY
    for key, value in options.config_entries.items():
        native.add_session_config_entry(key, value)
    return native


def create_session(model: Model, native: onnxruntime.SessionOptions, device: str) -> onnxruntime.InferenceSession:
    """Load the model; raises ``ModelError`` when it is refused, ``MissingPackage`` without the device's provider."""
    ort = import_onnxruntime()
    providers = _providers(ort, device)
    try:
        session = ort.InferenceSession(model.path, native, providers=providers)
    except runtime_errors() as error:
        what = f"ONNX Runtime refuses the model: {cause(error)}"
        raise ModelError(what, where=str(model.path), fix=_remedy(model, what)) from error
    session.disable_fallback()
    if session.get_providers()[0] != providers[0]:
        raise _no_cuda(f"the session runs on {session.get_providers()[0]}")
    return session


def _remedy(model: Model, what: str) -> str | None:
    """Return what helps a model in a float that ONNX Runtime has few operators for; None for any other."""
    rare = {spec.dtype for spec in (*model.inputs, *model.outputs)} & {"float64", "float16", "bfloat16"}
    if not rare or "Could not find an implementation" not in what:
        return None
    kinds = " and ".join(sorted(rare))
    return f"the model is in {kinds}, for which the operator does not exist: build it in float32 (`model.float()`)"


def quiet_session(path: Path, level: str = "all") -> onnxruntime.InferenceSession:
    """Open a file that is only looked at, on the CPU; what ONNX Runtime has to say is in the exceptions it raises.

    ``level`` is that of its graph optimizations: ``none``, ``basic``, ``extended`` or ``all``.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
    options.log_severity_level = _NOTHING
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _providers(ort: Any, device: str) -> list[str]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise _no_cuda(f"providers: {', '.join(ort.get_available_providers())}")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _no_cuda(got: str) -> MissingPackage:
    return MissingPackage(
        "ONNX Runtime cannot use a CUDA GPU here", where="target.device: cuda", got=got,
        expected="onnxruntime-gpu with the CUDA libraries it was built for",
        fix=f"pip uninstall onnxruntime, then {install_command('gpu')}; `mlopt doctor` shows what is there",
    )  # fmt: skip


RUNTIME: Runtime = OnnxRuntime()
