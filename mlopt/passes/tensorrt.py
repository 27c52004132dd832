"""Engines of TensorRT beside the ONNX model, for GPUs that need not be here.

TensorRT builds for the GPU that is here; TensorRT-RTX for those that ``targets`` names, on any machine. The step's
result is the ONNX model as it was, with engines beside it (``mlopt.formats.tensorrt``): where no GPU reads them, the
ONNX model is what is measured, judged and served, and the artifact says of each engine that it was not measured.
Precision is what the ONNX says: put `fp16` or `quantize: {mode: static, placement: tensorrt}` before it.

``beside`` adds engines of the model before it was quantized: what INT8 is worth on a GPU is known only beside FP16.

Limits: latency and outputs of an engine are known only where a GPU runs it. Operators that TensorRT lacks end in an
error that names the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mlopt.core.errors import MissingPackage, PassError, Problem
from mlopt.core.hardware import Gpu, detect
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker_for
from mlopt.formats import tensorrt as engines
from mlopt.formats.model import ONNX, TENSORRT, Model
from mlopt.formats.onnx.entry import FORMAT as ONNX_FORMAT
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.tensorrt import EngineSet, Range, Shapes
from mlopt.passes.base import Context, Interface, Pass, PassConfig, PassResult, Requires
from mlopt.passes.building.engine import build
from mlopt.passes.building.forms import BESIDE, TypedModel, beside, own
from mlopt.passes.building.precise import by_graph, by_layers
from mlopt.passes.building.profiles import made_from, profile_problems
from mlopt.passes.building.readable import write_readable
from mlopt.passes.building.settings import Built, EngineOrder, EngineSettings, HardwareCompatible, Profile, Tiling
from mlopt.runtimes.tensorrt_library import (
    DISTRIBUTIONS,
    Backend,
    Library,
    chosen,
)
from mlopt.runtimes.tensorrt_library import (
    TENSORRT as FULL,
)
from mlopt.runtimes.tensorrt_library import (
    TENSORRT_RTX as RTX,
)

_TARGETS = ("sm86", "sm89", "sm120")
"""What TensorRT-RTX builds for unless the recipe says otherwise: the RTX 30, 40 and 50 series."""
_TARGET = re.compile(r"sm[0-9]{2,3}")
_FREE_NAME = re.compile(r"(?!engines)[A-Za-z0-9][A-Za-z0-9._-]*")


class TensorRtConfig(PassConfig):
    """For which GPUs engines are built, and how."""

    backend: Backend | Literal["auto"] = Field(
        default="auto",
        description="auto: tensorrt where it is installed and a GPU answers, else tensorrt_rtx, and says so",
    )
    targets: tuple[str, ...] = Field(
        default=(), description="tensorrt_rtx: compute capabilities such as sm89; by itself sm86, sm89 and sm120"
    )
    profiles: tuple[dict[str, Range], ...] = Field(
        default=(), description="of inputs whose sizes vary: {min, opt, max}, each with the input's sizes; by itself "
        "one, of batches of one to four times the target's, and of the sizes of the samples",
    )  # fmt: skip
    beside: tuple[Literal["fp32", "fp16"], ...] = Field(
        default=(), description="engines, too, of the model as it was before it was quantized, in these precisions"
    )
    shapes: tuple[Shapes, ...] = Field(
        default=("dynamic",), min_length=1,
        description="where sizes vary: dynamic, what the profiles take; static, the first profile's opt alone",
    )  # fmt: skip
    require_precision: dict[Literal["int8", "fp16"], float] = Field(
        default_factory=dict, description="the least share of Conv, MatMul and Gemm layers in that precision"
    )
    optimization_level: int | None = Field(default=None, ge=0, le=5, description="how long it may look for kernels")
    workspace_mb: int | None = Field(default=None, ge=1, le=1 << 20, description="GPU memory that a layer may take")
    sparsity: bool = Field(default=False, description="kernels for weights of the pattern 2:4 where they are faster")
    hardware_compatible: HardwareCompatible | None = Field(default=None, description="run on other GPUs, too, slower")
    version_compatible: bool = Field(default=False, description="run in later versions of the library, too")
    strip_weights: bool = Field(default=False, description="leave the weights out of the engine")
    refit: bool = Field(default=False, description="let weights be replaced later")
    timing_cache: bool = Field(default=False, description="tensorrt: keep the timings of kernels from build to build")
    aux_streams: int | None = Field(default=None, ge=0, le=64, description="streams that it may use beside its own")
    tiling: Tiling | None = Field(default=None, description="how long it may look for tilings")
    timeout_s: float = Field(default=600, gt=0, le=86_400, description="that the build of one engine may take")
    memory_gb: float | None = Field(default=None, gt=0, description="that it may take; absent: what there is")
    on_unavailable: Literal["error", "skip"] = Field(
        default="error", description="skip: without the library, go on without engines; the artifact says so"
    )

    @field_validator("targets")
    @classmethod
    def _known_form(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((each for each in targets if not _TARGET.fullmatch(each)), None)
        if wrong is not None:
            raise ValueError(f"'{wrong}' is no compute capability: say sm86 for 8.6")
        return tuple(dict.fromkeys(targets))

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.backend == "tensorrt" and self.targets:
            raise ValueError("tensorrt builds for the GPU that is here: leave out targets, or backend: tensorrt_rtx")
        if self.backend == "tensorrt_rtx" and self.timing_cache:
            raise ValueError("tensorrt_rtx times no kernels while it builds: leave out timing_cache")
        if not all(0 < share <= 1 for share in self.require_precision.values()):
            raise ValueError("require_precision has shares of layers, more than 0 and at most 1")
        return self

    @property
    def foreign(self) -> bool:
        """Whether another runtime will read the result."""
        return True

    @property
    def reads_form(self) -> str:
        """Signed Q/DQ around FP32 biases, and ONNX's own operators."""
        return "tensorrt"

    @property
    def takes_exact(self) -> bool:
        """For the engines beside."""
        return bool(self.beside)

    def lacking(self, gpu: Gpu | None) -> Iterator[Problem]:
        """Yield what this machine lacks, unless the recipe goes on without it."""
        problem = chosen(self.backend, gpu).lacking(gpu)
        if problem is not None and self.on_unavailable == "error":
            yield problem

    def misfits(self, interface: Interface) -> Iterator[Problem]:
        """Yield what in the profiles fits no such model."""
        yield from profile_problems(self.profiles, interface.inputs)

    @property
    def settings(self) -> EngineSettings:
        """What the library is told."""
        return EngineSettings(**{each.name: getattr(self, each.name) for each in fields(EngineSettings)})


@dataclass(frozen=True)
class _Work:
    """What is the same for every engine of a step."""

    config: TensorRtConfig
    context: Context
    library: Library
    gpu: Gpu | None

    def sizes(self, model: Model) -> tuple[Profile, ...]:
        """Return the profiles: the recipe's, else what the samples ask for."""
        if self.config.profiles or self.context.samples is None:
            return self.config.profiles
        return made_from(model.inputs, self.context.samples, self.context.target.batch_size)

    @property
    def targets(self) -> tuple[str | None, ...]:
        """What to build for; None is the GPU that is here."""
        return (None,) if self.library is FULL else self.config.targets or _TARGETS

    def orders(self, form: TypedModel, profiles: tuple[Profile, ...], scratch: Path) -> Iterator[EngineOrder]:
        """Yield what is to be built of a model, which is written to ``scratch`` if the parser needs it otherwise."""
        config, context = self.config, self.context
        readable = write_readable(form.model, scratch / f"{form.precision}.onnx")
        varies = any(spec.dynamic_axes for spec in form.model.inputs)
        for shapes, target in product(config.shapes if varies else ("static",), self.targets):
            yield EngineOrder(
                backend=self.library.name, model=readable, folder=context.out / engines.FOLDER, target=target,
                precision=form.precision, shapes=shapes, source=form.model.digest, profiles=profiles,
                settings=config.settings,
                timing_cache=context.store.root / "tensorrt.timings" if config.timing_cache and context.store else None,
                memory_bytes=None if config.memory_gb is None else int(config.memory_gb * 2**30),
            )  # fmt: skip


def run(model: Model, config: TensorRtConfig, context: Context) -> PassResult:
    """Build an engine for each target; raises ``PassError`` for the first that cannot be."""
    gpu = detect().gpu
    work = _Work(config, context, chosen(config.backend, gpu), gpu)
    problems = [replace(each, where=f"tensorrt: {each.where}") for each in config.misfits(Interface.of(model))]
    if problems:
        raise PassError.of(problems)
    kept = ONNX_FORMAT.copy(model, context.out, lambda name: _FREE_NAME.fullmatch(name) is not None)  # type: ignore[misc]
    (context.out / engines.FOLDER).mkdir()
    lacks = work.library.lacking(gpu)
    if lacks is not None and config.on_unavailable == "error":
        raise MissingPackage(lacks)
    if lacks is not None:
        return _written(work, kept, skipped=lacks.what)
    shares, profiles = by_graph(model, config.require_precision), work.sizes(model)
    with TemporaryDirectory(dir=context.out) as scratch:
        half = partial(_in_fp16, context, Path(scratch) / "half")
        forms = (own(model), *beside(model, config.beside, context.exact, half))
        orders = (order for form in forms for order in work.orders(form, profiles, Path(scratch)))
        built = [_built(work, order, Path(scratch) / "build.log") for order in orders]
    result = _written(work, kept, built, profiles)
    return replace(result, notes={**result.notes, "layers in": {name: round(each, 4) for name, each in shares.items()}})


def _in_fp16(context: Context, folder: Path, model: Model) -> Model:
    """Convert to FP16 what real samples let have it, as the pass `fp16` does; raises ``PassError`` if nothing can."""
    from mlopt.compress.half.convert import USUAL, halve

    data, path = context.calibration or context.samples, folder / "model.onnx"
    if data is None:
        raise PassError("without samples nobody knows which values fit into FP16", where=BESIDE,
                        fix="name `data.calibration`, or leave fp16 out")  # fmt: skip
    folder.mkdir()
    wanted = replace(USUAL, device=context.target.device, batch_size=context.target.batch_size)
    done = halve(model, wanted, data, path)
    if isinstance(done, str):
        raise PassError("nothing of the model can have FP16", where=BESIDE, got=done, fix="leave fp16 out")
    return open_onnx(path)


def _built(work: _Work, order: EngineOrder, log: Path) -> Built:
    """Build one in a child process, whose end is told as an error."""
    config, library = work.config, work.library
    try:
        found = run_in_worker_for(config.timeout_s, log, build, order)
    except WorkerDiedError as error:
        raise PassError(
            f"{library.label} did not end the build of an engine", where=f"for {order.label}", got=str(error),
            expected=f"an engine within timeout_s ({config.timeout_s:g} s)"
            + (f" and memory_gb ({config.memory_gb:g} GB)" if config.memory_gb is not None else ""),
            fix="give it more, or a smaller model; `mlopt doctor` says whether its driver answers",
        ) from error  # fmt: skip
    except WorkerRaisedError as error:
        raise PassError(f"{library.label} failed", where=f"for {order.label}", got=str(error)) from error
    wanted = {name: share for name, share in config.require_precision.items() if name == order.precision}
    by_layers(found.layers, wanted, order.label)
    return found


def _written(
    work: _Work, kept: Model, built: Sequence[Built] = (), profiles: tuple[Profile, ...] = (),
    skipped: str | None = None,
) -> PassResult:  # fmt: skip
    """Describe the engines beside the model."""
    library, gpu = work.library, work.gpu
    described = EngineSet(
        backend=library.name, version=library.version, gpu=gpu.name if gpu else None,
        driver=gpu.driver if gpu else None, source=kept.digest, profiles=profiles,
        settings=work.config.settings.as_dict(), measured=False, skipped=skipped,
        reproducible=all(each.engine.shapes == "static" for each in built),
        engines=tuple(each.engine for each in built),
    )  # fmt: skip
    engines.write(described, work.context.out)
    return PassResult(kept.path, dict(_notes(work, described, built)))


def _notes(work: _Work, described: EngineSet, built: Sequence[Built]) -> Iterator[tuple[str, Any]]:
    """Yield what the report should say."""
    told = {"target", "precision", "shapes", "seconds", "size_bytes"}
    yield "backend", f"{work.library.label} {work.library.version}"
    yield (
        "engines",
        [{**each.model_dump(include=told), "measured": described.measured} for each in described.engines],
    )
    yield (
        "profiles",
        [{name: sizes.model_dump(mode="json") for name, sizes in profile.items()} for profile in described.profiles],
    )
    yield "log", list(dict.fromkeys(line for each in built for line in each.log))
    if not described.reproducible and built:
        yield "reproducible", "no: of sizes that vary, a second build may differ in its bytes"
    if described.skipped:
        yield "skipped", described.skipped
    if work.config.backend == "auto" and work.library is RTX:
        yield "chosen", "TensorRT-RTX, since TensorRT needs a GPU that answers, and its library"
    if layers := next((each.layers for each in built if each.layers), None):
        yield "layers", [asdict(each) for each in layers]


PASS = Pass(
    name="tensorrt",
    version=2,
    summary="engines of TensorRT or TensorRT-RTX beside the ONNX model",
    accepts=frozenset({ONNX}),
    produces=TENSORRT,
    config=TensorRtConfig,
    run=run,
    requires=Requires(uses=DISTRIBUTIONS, packages=("onnx",), device_bound=True),
)
