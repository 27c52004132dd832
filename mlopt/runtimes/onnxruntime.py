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
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.formats.model import ONNX, TENSORRT, Model
from mlopt.formats.onnx.file import check_tensors, read_graph
from mlopt.formats.onnx.int8 import EXACT
from mlopt.formats.onnx.int8_constants import for_exact_mode
from mlopt.formats.onnx.save import load_small_tensors
from mlopt.results.timing import Layer, NodeTime
from mlopt.runtimes import exact
from mlopt.runtimes.base import Deployable, Feeds, Runtime, Session
from mlopt.runtimes.onnxruntime_layers import layers_of
from mlopt.runtimes.onnxruntime_messages import odd_floats
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.onnxruntime_profile import nodes_of
from mlopt.runtimes.onnxruntime_tunings import tunings

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnxruntime

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_UNREAD = "Cannot parse data from external tensors"
"""What it says of sizes and axes that do not stand in the graph's own file."""
_ERRORS_ONLY, _NOTHING = 3, 4
_SAME_NAME = re.compile(r"two nodes with same node name \((.*)\)")


@contextmanager
def open_(model: Model, options: OnnxRuntimeOptions) -> Iterator[Session]:
    """Load the file by its path, so that external data of any size is found beside it."""
    check_tensors(model)
    with exact.explained(model, options):
        session = create_session(model, session_options(options, model), options.device, options.provider)
    yield _Session(model, session)


def profile(model: Model, options: OnnxRuntimeOptions, feeds: Iterator[Feeds], seconds: float) -> list[NodeTime]:
    """Run the model for about ``seconds`` under ONNX Runtime's own profile; warming up is not counted."""
    with TemporaryDirectory(prefix="mlopt-profile-") as folder:
        native = session_options(options, model)
        native.enable_profiling = True
        native.profile_file_prefix = str(Path(folder) / "profile")
        return nodes_of(create_session(model, native, options.device, options.provider), feeds, seconds)


def layers(model: Model, options: OnnxRuntimeOptions) -> list[Layer]:
    """Return the nodes of the graph that ONNX Runtime makes of the model; it writes that down, its tensors apart."""
    with TemporaryDirectory(prefix="mlopt-layers-") as folder, exact.explained(model, options):
        native, written = session_options(options, model), Path(folder) / "optimized.onnx"
        native.optimized_model_filepath = str(written)
        native.add_session_config_entry("session.optimized_model_external_initializers_file_name", "tensors.data")
        native.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        create_session(model, native, options.device, options.provider)
        return layers_of(read_graph(written), read_graph(model.path))


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
        return dict(zip(self._names, map(as_text, outputs), strict=True))


def as_text(output: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return text as NumPy's own, which can be stored and compared; ONNX Runtime gives it as Python objects."""
    return output.astype(str) if output.dtype == object else output


def import_onnxruntime() -> Any:
    """Return the module, its telemetry and the settings that a model brings off; raises ``MissingPackage``."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["ORT_LOAD_CONFIG_FROM_MODEL"] = "0"
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage("ONNX Runtime is not installed", got=str(error), fix=install_command("cpu")) from error
    return onnxruntime


def about() -> dict[str, str]:
    """Return the providers that it can use, whether its telemetry is off, and the CUDA that it is built for."""
    ort = import_onnxruntime()
    off = os.environ.get("ORT_DISABLE_TELEMETRY") == "1"
    cuda = getattr(ort.capi.build_and_package_info, "cuda_version", "")
    return {
        "providers": ", ".join(ort.get_available_providers()),
        "telemetry": "off, by ORT_DISABLE_TELEMETRY=1" if off else "on",
        **({"cuda": cuda} if cuda else {}),
    }


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


def session_options(options: OnnxRuntimeOptions, model: Model | None = None) -> onnxruntime.SessionOptions:
    """Translate: as many ``threads`` compute at a time, be it inside one operator or in several.

    With ``model``, what it takes to compute that model right on this CPU is added; raises ``ModelError`` where nothing
    does.
    """
    ort = import_onnxruntime()
    native = ort.SessionOptions()
    at_a_time = min(options.inter_op_threads, options.threads)
    native.intra_op_num_threads = options.threads - at_a_time + 1  # the threads of both pools, less the one that calls
    native.inter_op_num_threads = at_a_time
    modes = ort.ExecutionMode
    native.execution_mode = modes.ORT_PARALLEL if at_a_time > 1 else modes.ORT_SEQUENTIAL
    native.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[options.graph_optimization])
    native.enable_mem_pattern = options.memory_pattern
    native.enable_cpu_mem_arena = options.memory_arena
    native.log_severity_level = _ERRORS_ONLY
    entries = exact.entries(model, options) if model is not None else {}
    for key, value in {**entries, **_entries(options)}.items():
        native.add_session_config_entry(key, value)
    return native


def _entries(options: OnnxRuntimeOptions) -> dict[str, str]:
    """Return the session entries of what is not as ONNX Runtime has it by itself."""
    block_base = options.dynamic_block_base
    return {
        **({} if options.spinning else {f"session.{pool}_op.allow_spinning": "0" for pool in ("intra", "inter")}),
        **({} if options.prepacking else {"session.disable_prepacking": "1"}),
        **({"session.dynamic_block_base": str(block_base)} if block_base else {}),
    }


def create_session(
    model: Model, native: onnxruntime.SessionOptions, device: str, provider: str = "default"
) -> onnxruntime.InferenceSession:
    """Load the model; raises ``ModelError`` when it is refused, ``MissingPackage`` without the device's provider."""
    ort = import_onnxruntime()
    providers = _providers(ort, device, provider)
    try:
        session = _load(ort, model.path, native, providers)
    except runtime_errors() as error:
        raise refused(model.path, cause(error)) from error
    session.disable_fallback()
    if session.get_providers()[0] != providers[0]:
        raise _no_cuda(f"the session runs on {session.get_providers()[0]}")
    return session


def refused(path: Path, reason: str) -> ModelError:
    """Say why ONNX Runtime does not load a file; and what to do, where that is known."""
    named = _SAME_NAME.search(reason)
    if named is None:
        told = odd_floats(path) if "Could not find an implementation" in reason else {}
        return ModelError(f"ONNX Runtime refuses the model: {reason}", where=str(path), **told)
    load, save = f"onnx.load({path.name!r}, load_external_data=False)", f"onnx.save(m, {f'named-{path.name}'!r})"
    return ModelError(
        "two nodes of the model have one name, and ONNX Runtime refuses that", where=str(path), got=named[1],
        expected="a name of its own for each node, or none",
        fix=f'in the model\'s folder: python -c "import onnx; m = {load}; '
        f"[n.ClearField('name') for n in m.graph.node]; {save}\"",
    )  # fmt: skip


def _load(
    ort: Any, path: Path, native: onnxruntime.SessionOptions, providers: list[str]
) -> onnxruntime.InferenceSession:
    """Load a file; where even its small tensors are in other files, with those in the graph."""
    separated = for_exact_mode(path) if _is_exact(native) else None
    if separated is not None:
        return _load_graph(ort, separated, path, native, providers)
    try:
        return ort.InferenceSession(path, native, providers=providers)
    except runtime_errors() as error:
        if _UNREAD not in str(error):
            raise
    return _load_graph(ort, read_graph(path), path, native, providers)


def _load_graph(
    ort: Any, proto: onnx.ModelProto, path: Path, native: onnxruntime.SessionOptions, providers: list[str]
) -> onnxruntime.InferenceSession:
    """Load a graph from memory; its large tensors stay in the files beside the one at ``path``."""
    from google.protobuf.message import EncodeError

    native.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    load_small_tensors(proto, path.parent)
    try:
        graph = proto.SerializeToString()
    except EncodeError as error:
        raise ValueError("with a copy of its shared weights for each layer, the graph is above 2 GB") from error
    return ort.InferenceSession(graph, native, providers=providers)


def _is_exact(native: onnxruntime.SessionOptions) -> bool:
    try:
        return all(native.get_session_config_entry(key) == value for key, value in EXACT.items())
    except RuntimeError:  # it is not set
        return False


def quiet_session(path: Path, level: str = "all") -> onnxruntime.InferenceSession:
    """Open a file that is only looked at, on the CPU; what ONNX Runtime has to say is in the exceptions it raises.

    ``level`` is that of its graph optimizations: ``none``, ``basic``, ``extended`` or ``all``.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
    options.log_severity_level = _NOTHING
    for key, value in exact.entries_of_file(path, level).items():
        options.add_session_config_entry(key, value)
    return _load(ort, path, options, ["CPUExecutionProvider"])


def _providers(ort: Any, device: str, provider: str) -> list[str]:
    """Return what may compute, the first before the others; raises ``MissingPackage`` if that is not there."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    wanted = ["TensorrtExecutionProvider"] if provider == "tensorrt" else []
    wanted += ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if wanted[0] not in ort.get_available_providers():
        raise _no_cuda(f"no {wanted[0]} among {', '.join(ort.get_available_providers())}")
    return wanted


def _no_cuda(got: str) -> MissingPackage:
    return MissingPackage(
        "ONNX Runtime cannot use a CUDA GPU here", where="target.device: cuda", got=got,
        expected="onnxruntime-gpu with the CUDA libraries it was built for",
        fix=f"pip uninstall onnxruntime, then {install_command('gpu')}; `mlopt doctor` shows what is there",
    )  # fmt: skip


RUNTIME = Runtime(
    name="onnxruntime",
    kinds=frozenset({ONNX, TENSORRT}),  # of engines, the ONNX file that they were built from
    options=OnnxRuntimeOptions,
    open=open_,
    devices=frozenset({"cpu", "cuda"}),
    packages=("onnxruntime",),
    extra="cpu",
    profile=profile,
    layers=layers,
    remark=exact.remark,
    safe_isa=exact.safe_isa,
    about=about,
    tunings=tunings,
    library=import_onnxruntime,
)


def deployed(model: Model, options: OnnxRuntimeOptions) -> Deployable:
    """Return a model as it runs in this runtime."""
    return Deployable(model, RUNTIME.name, options)
