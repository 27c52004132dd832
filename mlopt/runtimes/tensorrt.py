"""Engines of TensorRT on the GPU that is here; TensorRT-RTX runs its own the same way.

What is timed is a whole inference as a caller has it: the feeds to the GPU, the computation, the outputs back. With
``cuda_graph`` the computation is recorded once for the sizes that are fed, and launched as a whole. An engine is read
by the version of the library that built it and on the compute capability that it was built for; anything else is
refused before the library sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, get_args

from pydantic import Field

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.hardware import Gpu, detect
from mlopt.core.packages import install_command
from mlopt.formats.model import TENSORRT, Model
from mlopt.formats.tensorrt import Engine, EngineSet, Precision, Range, read
from mlopt.formats.tensorrt import Shapes as EngineShapes
from mlopt.results.timing import Layer
from mlopt.runtimes.base import Array, Feeds, Runtime, RuntimeOptions, Session
from mlopt.runtimes.cuda import Buffer, Graph, Stream, import_cuda
from mlopt.runtimes.feeds import check_feeds
from mlopt.runtimes.tensorrt_layers import layers_of
from mlopt.runtimes.tensorrt_library import LIBRARIES, import_library

Shapes = Mapping[str, tuple[int, ...]]
_REBUILD = "run the recipe again on this machine, or open the ONNX model beside it with `runtime: onnxruntime`"
_OUTLIVES: list[Any] = []
"""The library has one logger in a process, which it goes on calling."""


class TensorRtOptions(RuntimeOptions):
    """How an engine is launched."""

    cuda_graph: bool = Field(default=False, description="record the launches once for each set of sizes, as a whole")
    precision: Precision | None = Field(default=None, description="of the engine; None: that of the ONNX model")
    shapes: EngineShapes | None = Field(default=None, description="of the engine; None: dynamic, where there is one")


def asked_for(found: EngineSet, options: TensorRtOptions) -> list[Engine]:
    """Return the engines that are as options ask, for any GPU; those that take more sizes come first."""
    fit = [
        each for each in found.engines
        if (each.precision == options.precision or (options.precision is None and each.source in (None, found.source)))
        and options.shapes in (None, each.shapes)
    ]  # fmt: skip
    return sorted(fit, key=lambda each: each.shapes == "static")


def engine_for(
    found: EngineSet, gpu: Gpu | None, version: str | None, where: str, options: TensorRtOptions
) -> Engine:  # fmt: skip
    """Return the engine for a GPU and a version of the library; raises ``ModelError`` if there is none.

    Raises ``MissingPackage`` without a GPU.
    """
    if gpu is None:
        raise MissingPackage(
            "engines run on a GPU, and no GPU answers", where=where, expected="a GPU and its driver",
            fix="open the ONNX model beside them: `runtime: onnxruntime`",
        )  # fmt: skip
    if found.skipped:
        raise ModelError(f"there are no engines: {found.skipped}", where=where, fix=_REBUILD)
    if version != found.version and not found.settings.get("version_compatible"):
        raise ModelError(
            "the engines were built by another version of the library", where=where, got=version,
            expected=f"{found.backend} {found.version}", fix=f"install that version, or {_REBUILD}",
        )  # fmt: skip
    target = f"sm{gpu.compute_capability.replace('.', '')}"
    every = asked_for(found, options)
    engine = next((each for each in every if each.target == target), None)
    if engine is None and every and found.settings.get("hardware_compatible"):
        engine = every[0]
    if engine is None:
        raise ModelError(
            "there is no such engine for this GPU", where=where, got=" ".join((target, options.beyond_defaults)),
            expected=" or ".join(map(_told, found.engines)), fix=_REBUILD,
        )  # fmt: skip
    return engine


def _told(engine: Engine) -> str:
    return " ".join(filter(None, (engine.target, engine.precision, engine.shapes)))


def sizes_taken(found: EngineSet, engine: Engine) -> tuple[Mapping[str, Range], ...]:
    """Return the profiles of an engine; of a static one, those that take its sizes alone."""
    if engine.shapes != "static":
        return found.profiles
    return tuple(
        {name: Range(min=of.opt, opt=of.opt, max=of.opt) for name, of in each.items()} for each in found.profiles[:1]
    )


def profile_for(profiles: Sequence[Mapping[str, Range]], shapes: Shapes, where: str) -> int:
    """Return the first profile that takes these sizes, 0 if none vary; raises ``ModelError`` if there is none."""
    if not profiles:
        return 0
    for number, profile in enumerate(profiles):
        ranges = ((profile[name], shape) for name, shape in shapes.items() if name in profile)
        if all(_within(sizes, shape) for sizes, shape in ranges):
            return number
    got = "; ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    expected = " or ".join(
        ", ".join(f"{name} {list(sizes.min)} to {list(sizes.max)}" for name, sizes in each.items()) for each in profiles
    )
    raise ModelError("the engine was not built for these sizes", where=where, got=got, expected=expected,
                     fix="add a profile to the recipe: `profiles` of `tensorrt`")  # fmt: skip


def _within(sizes: Range, shape: tuple[int, ...]) -> bool:
    return len(shape) == len(sizes.min) and all(
        low <= size <= high for low, size, high in zip(sizes.min, shape, sizes.max, strict=True)
    )


@contextmanager
def open_(model: Model, options: TensorRtOptions) -> Iterator[Session]:
    """Read the engine for the GPU that is here, whose digest was looked at when the model was opened."""
    with ExitStack() as stack:
        yield _Session(model, options, stack)


class _Session:
    """An open engine, on a stream of its own. One caller at a time."""

    def __init__(self, model: Model, options: TensorRtOptions, stack: ExitStack) -> None:
        self.inputs, self.outputs = model.inputs, model.outputs
        self._where, self._options, self._stack = str(model.path), options, stack
        self._trt, self._engine, self._profiles = _load(model, options)
        self._context = self._engine.create_execution_context()
        self._stream = stack.enter_context(Stream())
        self._shapes: Shapes | None = None
        self._buffers: dict[str, Buffer] = {}
        self._graph: Graph | None = None

    def run(self, feeds: Feeds) -> dict[str, Array]:
        import numpy as np

        check_feeds(feeds, self.inputs, self._where)
        shapes = {name: array.shape for name, array in feeds.items()}
        if shapes != self._shapes:
            self._fit(shapes)
        for name, array in feeds.items():
            self._buffers[name].put(np.ascontiguousarray(array), self._stream)
        self._launch()
        found = {spec.name: self._buffers[spec.name].get(self._stream) for spec in self.outputs}
        self._stream.wait()
        return found

    def _fit(self, shapes: Shapes) -> None:
        """Take memory for these sizes, and tell the engine where it lies."""
        import numpy as np

        context, stream = self._context, self._stream
        context.set_optimization_profile_async(profile_for(self._profiles, shapes, self._where), stream.handle)
        stream.wait()
        for name, shape in shapes.items():
            context.set_input_shape(name, shape)
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers, self._graph, self._shapes = {}, None, None
        for spec in (*self.inputs, *self.outputs):
            shape = tuple(context.get_tensor_shape(spec.name))
            if any(size < 0 for size in shape):
                raise ModelError("the size of an output depends on values, which this runtime does not take",
                                 where=self._where, got=spec.name, fix=_REBUILD)  # fmt: skip
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(spec.name)))
            if dtype.name != spec.dtype:
                raise ModelError("the engine has another type than the model", where=f"{self._where}: '{spec.name}'",
                                 got=dtype.name, expected=spec.dtype)  # fmt: skip
            buffer = self._buffers[spec.name] = Buffer(shape, dtype)
            self._stack.callback(buffer.free)
            context.set_tensor_address(spec.name, buffer.address)
        self._shapes = dict(shapes)
        if self._options.cuda_graph:
            self._enqueue()  # what is set up by the first call cannot be recorded
            stream.wait()
            with stream.recorded() as recorded:
                self._enqueue()
            self._graph = self._stack.enter_context(recorded)

    def _launch(self) -> None:
        if self._graph is not None:
            self._graph.launch(self._stream)
        else:
            self._enqueue()

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise ModelError("the engine could not be run", where=self._where, got="execute_async_v3 says no")


def _load(model: Model, options: TensorRtOptions) -> tuple[Any, Any, Sequence[Mapping[str, Range]]]:
    """Return the library, the engine for this GPU, and the sizes that it takes."""
    found, gpu, where = read(model.path), detect().gpu, str(model.path)
    library = LIBRARIES[found.backend]
    engine = engine_for(found, gpu, library.version, where, options)
    trt = import_library(library, gpu)
    import_cuda()
    logger = trt.Logger(trt.Logger.ERROR)
    runtime = trt.Runtime(logger)
    _OUTLIVES.extend((logger, runtime))
    loaded = runtime.deserialize_cuda_engine((model.path.parent / engine.file).read_bytes())
    if loaded is None:
        raise ModelError(f"{library.label} does not read the engine on this GPU", where=engine.file, fix=_REBUILD)
    return trt, loaded, sizes_taken(found, engine)


def layers(model: Model, options: TensorRtOptions) -> list[Layer]:
    """Return what the engine is made of, as its inspector tells."""
    trt, engine, _ = _load(model, options)
    return layers_of(trt, engine)


def remark(_model: Model, options: TensorRtOptions) -> str | None:
    """Return what the times are of."""
    graph = ", launched as a CUDA graph" if options.cuda_graph else ""
    return f"times are of a whole inference{graph}: the feeds to the GPU, and the outputs back, are in them"


def choices(options: TensorRtOptions, one_size: bool) -> tuple[TensorRtOptions, ...]:
    """Return the ways to run: each precision, as it is and, where all feeds have one size, static and as a graph."""
    ways: tuple[dict[str, Any], ...] = ({}, {"cuda_graph": True}, {"shapes": "static", "cuda_graph": True})
    return tuple(
        options.model_copy(update={**way, "precision": precision})
        for precision in (None, *get_args(Precision)) for way in (ways if one_size else ways[:1])
    )  # fmt: skip


def has(model: Model, options: TensorRtOptions) -> bool:
    """Whether there is an engine as options ask, which no other way of asking names."""
    found = read(model.path)
    own = options.precision is not None and asked_for(found, options.model_copy(update={"precision": None}))
    same = {each.file for each in own or ()} & {each.file for each in asked_for(found, options)}
    return bool(asked_for(found, options)) and not same


def exactly(options: TensorRtOptions) -> TensorRtOptions:
    """Return the same in the precision of the ONNX model."""
    return options.model_copy(update={"precision": None})


def about() -> dict[str, str]:
    """Return the GPU; raises ``MissingPackage`` without one."""
    gpu = detect().gpu
    if gpu is None:
        raise MissingPackage("no GPU answers", fix=install_command("tensorrt"))
    import_cuda()
    return {"gpu": f"{gpu.name}, sm{gpu.compute_capability.replace('.', '')}"}


RUNTIME = Runtime(
    name="tensorrt",
    kinds=frozenset({TENSORRT}),
    options=TensorRtOptions,
    open=open_,
    devices=frozenset({"cuda"}),
    packages=("cuda-bindings",),
    extra="tensorrt",
    layers=layers,
    remark=remark,
    choices=choices,
    has=has,
    exactly=exactly,
    about=about,
    library=import_cuda,
)
