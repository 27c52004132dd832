"""Building one engine, in a child process: the library may end its process, and holds its memory until that ends.

Precision is what the ONNX file says: networks are strongly typed. Everything that the library says of a model is told:
all errors of its parser, with the node, and what its recorder and its log have.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlopt.core.errors import MissingPackage, PassError, Problem
from mlopt.core.hardware import Gpu, detect
from mlopt.core.locks import locked
from mlopt.formats.model import digest_file
from mlopt.formats.tensorrt import FOLDER, Engine
from mlopt.passes.building.settings import Built, EngineOrder, EngineSettings, Profile
from mlopt.results.timing import Layer
from mlopt.runtimes.tensorrt_layers import layers_of
from mlopt.runtimes.tensorrt_library import LIBRARIES, Library, import_library, try_set

_LOG_LINES = 40
_LONGEST = 400
FLAGS = {
    "sparsity": "SPARSE_WEIGHTS", "version_compatible": "VERSION_COMPATIBLE", "strip_weights": "STRIP_PLAN",
    "refit": "REFIT",
}  # fmt: skip
"""Options of a recipe that the library has as a flag, by the name of that."""
ATTRIBUTES = {
    "optimization_level": ("builder_optimization_level", None),
    "aux_streams": ("max_aux_streams", None),
    "tiling": ("tiling_optimization_level", "TilingOptimizationLevel"),
    "hardware_compatible": ("hardware_compatibility_level", "HardwareCompatibilityLevel"),
}
"""Those that it has as an attribute, and the enumeration of the values, if there is one."""
_OUTLIVES: list[Any] = []
"""What the library goes on using as long as its process lives, and ends the process without: the parser has weights."""
_NO_DRIVER = "cudaError 35"
"""In what is said again and again where there is no driver, and of no consequence to a build."""
_MEMORY = "it had too little memory: raise `memory_gb`, or leave it out"
_ADVICE = {
    "Non-zero zero point": "quantize for it: `quantize: {mode: static, placement: tensorrt}`",
    "has type Int32 but must have type": "quantize for it, which leaves biases alone: `quantize: {mode: static, "
    "placement: tensorrt}`",
    "Quantized constant": "have a DequantizeLinear read each weight in INT8: `quantize: {mode: static, placement: "
    "tensorrt}` writes them so",
    "for Turing (SM75)": "leave sm75 out, or put `fp16: {placement: tensorrt}` before it",
    "bad_alloc": _MEMORY,
    "Resource temporarily unavailable": _MEMORY,
    "Plugin not found": "TensorRT has no such operator: `fuse` and onnxruntime's own quantization write such, leave "
    "them out before it; else compute it by others in the model",
}  # fmt: skip
_OTHERWISE = "change what it names, in the model or among the options of 'tensorrt', or remove that step"
_UNKNOWN_OPERATOR = "TensorRT has no such operator: compute it by others in the model, or before it"


def build(order: EngineOrder) -> Built:
    """Build an engine; raises ``PassError`` for the model and the options, ``MissingPackage`` for the library."""
    library, gpu = LIBRARIES[order.backend], detect().gpu
    trt = import_library(library, gpu)
    _limit(order.memory_bytes)
    said = _Said()
    logger, recorder = said.logger(trt), said.recorder(trt)
    builder = trt.Builder(logger)
    builder.error_recorder = recorder
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, logger, order, library)
    config = builder.create_builder_config()
    _configure(trt, config, order.settings, library)
    target = _for_target(trt, config, order.target, library, gpu)
    if order.shapes == "static":
        _fix_sizes(network, order.profiles)
    else:
        _add_profiles(builder, config, order.profiles, said)
    started = time.monotonic()
    with _timing_cache(config, order.timing_cache):
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise PassError(
            f"{library.label} builds no engine", where=f"{order.model.name}, for {target}",
            got="; ".join(said.errors)[:_LONGEST] or "nothing that it told", fix=_fix(" ".join(said.errors)),
        )  # fmt: skip
    seconds = time.monotonic() - started
    out = order.file(target)
    partial = out.with_suffix(".partial")
    partial.write_bytes(memoryview(plan))
    partial.replace(out)
    engine = Engine(
        file=f"{FOLDER}/{out.name}", target=target, precision=order.precision, shapes=order.shapes, source=order.source,
        digest=digest_file(out), size_bytes=out.stat().st_size, seconds=round(seconds, 3),
    )  # fmt: skip
    return Built(engine, said.told, _layers(trt, logger, out) if gpu is not None else ())


class _Said:
    """What the library logs and records."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._warnings: list[str] = []

    @property
    def told(self) -> tuple[str, ...]:
        """Each once, the errors first."""
        return tuple(dict.fromkeys([*self.errors, *self._warnings]))[:_LOG_LINES]

    def hear(self, text: str, *, error: bool) -> None:
        """Take a line down."""
        line = " ".join(text.split())[:_LONGEST]
        if line and _NO_DRIVER not in line:
            (self.errors if error else self._warnings).append(line)

    def logger(self, trt: Any) -> Any:
        """Return what the library logs to."""
        said, severity = self, trt.ILogger.Severity

        class Logger(trt.ILogger):  # type: ignore[misc]  # the library has no types
            def log(self, level: Any, text: str) -> None:
                if level in (severity.INTERNAL_ERROR, severity.ERROR, severity.WARNING):
                    said.hear(text, error=level != severity.WARNING)

        return Logger()

    def recorder(self, trt: Any) -> Any:
        """Return what the library records errors in."""
        said = self

        class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
            def num_errors(self) -> int:
                return len(said.errors)

            def get_error_code(self, _at: int) -> Any:
                return trt.ErrorCodeTRT.INTERNAL_ERROR

            def get_error_desc(self, at: int) -> str:
                return said.errors[at]

            def has_overflowed(self) -> bool:
                return False

            def clear(self) -> None:
                said.errors.clear()

            def report_error(self, _code: Any, text: str) -> bool:
                said.hear(text, error=True)
                return False

        return Recorder()


def _limit(memory_bytes: int | None) -> None:
    """Let this process have so much memory beside what it has: the library alone maps some hundred megabytes."""
    if memory_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _parse(trt: Any, network: Any, logger: Any, order: EngineOrder, library: Library) -> None:
    """Read the model; raises ``PassError`` with everything that the parser has against it."""
    parser = trt.OnnxParser(network, logger)
    _OUTLIVES.append(parser)
    if parser.parse_from_file(str(order.model)):
        return
    found = [parser.get_error(number) for number in range(parser.num_errors)]
    raise PassError.of(
        [_problem(each, order, library) for each in found]
        or [Problem(f"{library.label} does not read the model", order.model.name, fix=_OTHERWISE)]
    )


def _problem(error: Any, order: EngineOrder, library: Library) -> Problem:
    text, operator, name = " ".join(error.desc().split()), error.node_operator(), error.node_name()
    where = f"node '{name}' ({operator})" if operator else order.model.name
    unknown = str(error.code()).endswith("UNSUPPORTED_NODE")
    what = f"{library.label} has no operator for this node" if unknown else f"{library.label} does not read the model"
    got = str(error.code()).rpartition(".")[2] if text in {"", "false"} else text[:_LONGEST]
    return Problem(what, where, got, fix=_UNKNOWN_OPERATOR if unknown else _fix(text))


def _fix(text: str) -> str:
    return next((advice for mark, advice in _ADVICE.items() if mark in text), _OTHERWISE)


def _configure(trt: Any, config: Any, settings: EngineSettings, library: Library) -> None:
    """Set every option, the names of which the library may not have."""

    for option, name in FLAGS.items():
        if getattr(settings, option):
            try_set(library, trt, option, lambda trt, name=name: config.set_flag(getattr(trt.BuilderFlag, name)))
    for option, (name, values) in ATTRIBUTES.items():
        if (value := getattr(settings, option)) is not None:
            try_set(
                library, trt, option, lambda trt, name=name, values=values, value=value: _set_attribute(
                    config, name, getattr(getattr(trt, values), value.upper()) if values else value
                ),
            )  # fmt: skip
    if (workspace := settings.workspace_mb) is not None:
        try_set(library, trt, "workspace_mb",
                lambda trt: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace << 20))  # fmt: skip
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED


def _set_attribute(config: Any, name: str, value: Any) -> None:
    getattr(config, name)  # an attribute that is not there would be made
    setattr(config, name, value)


def _for_target(trt: Any, config: Any, target: str | None, library: Library, gpu: Gpu | None) -> str:
    """Set what the engine is for, and return its name; raises ``PassError`` for one that the library does not know."""
    if target is None:
        if gpu is None:
            raise MissingPackage("an engine for the GPU that is here takes a GPU", where="passes.tensorrt.targets",
                                 fix="name what it is for: `targets: [sm89]`")  # fmt: skip
        return f"sm{gpu.compute_capability.replace('.', '')}"
    known = [name.lower() for name in dir(trt.ComputeCapability) if name.startswith("SM") and name[2:].isdigit()]
    if target not in known:
        raise PassError(
            f"{library.label} builds no engine for this GPU", where="passes.tensorrt.targets", got=target,
            expected=", ".join(sorted(known, key=lambda name: int(name[2:]))), fix="name one of these",
        )  # fmt: skip
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    return target


def _fix_sizes(network: Any, profiles: tuple[Profile, ...]) -> None:
    """Let inputs whose sizes vary have those that the first profile is best at."""
    for number in range(network.num_inputs if profiles else 0):
        tensor = network.get_input(number)
        if (wanted := profiles[0].get(tensor.name)) is not None:
            tensor.shape = wanted.opt


def _add_profiles(builder: Any, config: Any, profiles: tuple[Profile, ...], said: _Said) -> None:
    for number, sizes in enumerate(profiles):
        profile = builder.create_optimization_profile()
        for name, wanted in sizes.items():
            profile.set_shape(name, wanted.min, wanted.opt, wanted.max)
        if config.add_optimization_profile(profile) < 0:
            raise PassError("the library does not take a profile", where=f"passes.tensorrt.profiles.{number}",
                            got="; ".join(said.errors)[:_LONGEST], fix=_OTHERWISE)  # fmt: skip


@contextmanager
def _timing_cache(config: Any, path: Path | None) -> Iterator[None]:
    """Give the timings of kernels that an earlier build left, and keep those of this one; one process at a time."""
    if path is None:
        yield
        return
    with locked(path.with_suffix(".lock")):
        known = path.read_bytes() if path.exists() else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
        yield
        partial = path.with_suffix(".partial")
        partial.write_bytes(memoryview(config.get_timing_cache().serialize()))
        partial.replace(path)


def _layers(trt: Any, logger: Any, path: Path) -> tuple[Layer, ...]:
    """Ask the engine what it is made of; nothing if this GPU does not read it."""
    engine = trt.Runtime(logger).deserialize_cuda_engine(path.read_bytes())
    return () if engine is None else tuple(layers_of(trt, engine))
