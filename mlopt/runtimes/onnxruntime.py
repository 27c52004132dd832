"""ONNX Runtime, on the CPU or on a CUDA GPU.

A GPU that was asked for is used or it is an error: ONNX Runtime itself would fall back to the CPU and say nothing.
Its numbers come with the threads that were asked for, one operator at a time, and no telemetry.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.errors import MissingPackage, ModelError
from mlopt.hardware import INT8_DOT, detect_cpu
from mlopt.model import NOT_IN_NUMPY, Kind, Model
from mlopt.onnx_file import read_graph
from mlopt.onnx_int8 import EXACT, Overflow, overflow
from mlopt.onnx_save import load_small_tensors
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
_FUSING = frozenset({"extended", "all"})
_UNREAD = "Cannot parse data from external tensors"
"""What it says of sizes and axes that do not stand in the graph's own file."""
_ERRORS_ONLY, _NOTHING = 3, 4
_LOG = logging.getLogger(__name__)
_SAME_NAME = re.compile(r"two nodes with same node name \((.*)\)")
_NO_TENSOR = frozenset({"sequence_type", "map_type", "optional_type", "sparse_tensor_type"})
_WITH_FEW_KERNELS = {11: "float64", 16: "bfloat16", 17: "float8", 18: "float8", 19: "float8", 20: "float8"}
"""By their numbers in ONNX."""


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
                    fix="convert scikit-learn's models with options={'zipmap': False}; let others end in tensors "
                    "(ConcatFromSequence, OptionalGetElement), or cut the node off",
                )  # fmt: skip
            if spec.dtype in NOT_IN_NUMPY:
                raise ModelError(
                    "ONNX Runtime cannot exchange this dtype as a NumPy array", where=f"{model.path}: '{spec.name}'",
                    got=spec.dtype, expected="a NumPy dtype", fix="keep inputs and outputs in float32 or float16",
                )  # fmt: skip
        try:
            session = create_session(model, session_options(options, model), options.device)
        except ModelError as error:
            if remark(model, options) is None:
                raise
            fix = f"it had to be loaded in the exact mode, since this CPU has no VNNI: {_SAFE}"
            raise ModelError.of(replace(problem, fix=problem.fix or fix) for problem in error.problems) from error
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


def session_options(options: RuntimeOptions, model: Model | None = None) -> onnxruntime.SessionOptions:
    """Translate: ``threads`` inside an operator, and operators one after the other.

    With ``model``, what it takes to compute that model right on this CPU is added; raises ``ModelError`` where nothing
    does.
    """
    ort = import_onnxruntime()
    native = ort.SessionOptions()
    native.intra_op_num_threads = options.threads
    native.inter_op_num_threads = 1
    native.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    native.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[options.graph_optimization])
    native.log_severity_level = _ERRORS_ONLY
    for key, value in {**options.config_entries, **(_exactly(model, options) if model is not None else {})}.items():
        native.add_session_config_entry(key, value)
    return native


def _exactly(model: Model, options: RuntimeOptions) -> Mapping[str, str]:
    """Return the entries without which the model's INT8 sums would overflow on this CPU."""
    found = _overflowing(model, options)
    fused = options.graph_optimization in _FUSING
    if not found.layers or not (fused or found.in_integers or found.unbounded):
        return {}
    if found.unbounded or not fused:
        layers = found.unbounded or found.in_integers
        raise ModelError(
            "this CPU would add INT8 products in 16 bits, which overflow with this model's weights",
            where=f"{model.path}: node '{layers[0]}'", got=f"{len(layers)} such layers, and no VNNI",
            expected=f"a CPU with one of {', '.join(sorted(INT8_DOT))}",
            fix=_SAFE if found.unbounded else "open it with graph_optimization all, which can compute it exactly",
        )  # fmt: skip
    _LOG.warning("%s: %s", model.path, _REMARK)
    return EXACT


_SAFE = "make it with `quantize: {portable: true}` or unsigned weights (scheme u8u8), or run it on a CPU with VNNI"
_REMARK = (
    "this CPU has no VNNI, and the model's 8-bit weights would overflow on it: it is computed exactly, which is "
    "slower. `quantize: {portable: true}` makes weights that are right on every CPU"
)


def remark(model: Model, options: RuntimeOptions) -> str | None:
    """Return what is to be said of the model on this CPU, if its weights are made for another."""
    exact = model.kind is Kind.ONNX and options.graph_optimization in _FUSING and _overflowing(model, options).layers
    return _REMARK if exact else None


def _overflowing(model: Model, options: RuntimeOptions) -> Overflow:
    on_cpu = options.device == "cpu" and detect_cpu().adds_in_16_bits
    return _overflow(model.path, model.digest) if on_cpu else Overflow()


@lru_cache(maxsize=8)
def _overflow(path: Path, _digest: str) -> Overflow:
    """Look once at the weights of a file that is opened again and again."""
    return overflow(path)


def create_session(model: Model, native: onnxruntime.SessionOptions, device: str) -> onnxruntime.InferenceSession:
    """Load the model; raises ``ModelError`` when it is refused, ``MissingPackage`` without the device's provider."""
    ort = import_onnxruntime()
    providers = _providers(ort, device)
    try:
        session = _load(ort, model.path, native, providers)
    except runtime_errors() as error:
        raise _refused(model.path, cause(error)) from error
    session.disable_fallback()
    if session.get_providers()[0] != providers[0]:
        raise _no_cuda(f"the session runs on {session.get_providers()[0]}")
    return session


def _refused(path: Path, reason: str) -> ModelError:
    """Say why ONNX Runtime does not load a file; and what to do, where that is known."""
    named = _SAME_NAME.search(reason)
    if named is None:
        told = _of_odd_floats(path) if "Could not find an implementation" in reason else {}
        return ModelError(f"ONNX Runtime refuses the model: {reason}", where=str(path), **told)
    load, save = f"onnx.load({path.name!r}, load_external_data=False)", f"onnx.save(m, {f'named-{path.name}'!r})"
    return ModelError(
        "two nodes of the model have one name, and ONNX Runtime refuses that", where=str(path), got=named[1],
        expected="a name of its own for each node, or none",
        fix=f'in the model\'s folder: python -c "import onnx; m = {load}; '
        f"[n.ClearField('name') for n in m.graph.node]; {save}\"",
    )  # fmt: skip


def _of_odd_floats(path: Path) -> dict[str, str]:
    """Return what to say of a model for which a kernel is missing, if that may be for its floating-point types."""
    graph = read_graph(path).graph
    typed = (value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output))
    cast = (a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to")
    found = {_WITH_FEW_KERNELS.get(kind) for kind in (*(t.data_type for t in graph.initializer), *typed, *cast)}
    names = sorted(filter(None, found))
    if not names:
        return {}
    return {
        "got": f"tensors in {' and '.join(names)}",
        "expected": "float32, or float16: there are few kernels for others",
        "fix": "give the model in float32 (of PyTorch: `model.float()` before the export)",
    }


def _load(
    ort: Any, path: Path, native: onnxruntime.SessionOptions, providers: list[str]
) -> onnxruntime.InferenceSession:
    """Load a file; where even its small tensors are in other files, with those in the graph."""
    try:
        return ort.InferenceSession(path, native, providers=providers)
    except runtime_errors() as error:
        if _UNREAD not in str(error):
            raise
    native.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    proto = read_graph(path)
    load_small_tensors(proto, path.parent)
    return ort.InferenceSession(proto.SerializeToString(), native, providers=providers)


def quiet_session(path: Path, level: str = "all") -> onnxruntime.InferenceSession:
    """Open a file that is only looked at, on the CPU; what ONNX Runtime has to say is in the exceptions it raises.

    ``level`` is that of its graph optimizations: ``none``, ``basic``, ``extended`` or ``all``.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
    options.log_severity_level = _NOTHING
    if level in _FUSING and detect_cpu().adds_in_16_bits and overflow(path).layers:
        for key, value in EXACT.items():
            options.add_session_config_entry(key, value)
    return _load(ort, path, options, ["CPUExecutionProvider"])


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
