"""OpenVINO, on the CPU, reading the ONNX file itself.

Left alone, it computes in the fastest precision that the CPU has, quantizes activations on the way, binds its threads
to cores, and sends an event when it is imported. Here all of that is said: ``exact`` is float32 throughout.

It checks little of what it is fed. A feed of another type is converted, one that is missing is taken for an empty one,
and sizes that do not go together are computed all the same, from memory that is not theirs; integers are cut to 32
bits, and float64 is computed in float32. So feeds are held against the model's interface here, and what cannot be right
is refused. What does not fit only inside the graph (a Reshape to another number of elements) nobody sees.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.formats.model import ONNX, TENSORRT, Model
from mlopt.formats.onnx.file import read_graph
from mlopt.results.timing import Layer, NodeTime
from mlopt.runtimes.base import Array, Feeds, Runtime, Session
from mlopt.runtimes.openvino_checks import OTHERWISE, FeedCheck, check_model, check_rounding
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.openvino_profile import Nodes, layers_of, precisions_of, times_of
from mlopt.runtimes.openvino_tunings import tunings

if TYPE_CHECKING:
    import openvino

_LOG = logging.getLogger(__name__)
_SETS_OF_SIZES = 8
"""So many are compiled for; a deployment that meets more has sizes that vary."""
_ITS_SOURCE = re.compile(r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|FrontEnd API failed with \w+:")
_UNREAD = re.compile(r"No conversion rule found for operations: ([^\n]*)")
_ROUNDED = "products and sums are computed in bfloat16, which keeps 8 bits of a float32: this is lossy"


@contextmanager
def open_(model: Model, options: OpenVinoOptions) -> Iterator[Session]:
    """Load the file by its path, so that external data of any size is found beside it."""
    yield _Session(model, _Compiler(model, options))


def profile(model: Model, options: OpenVinoOptions, feeds: Iterator[Feeds], seconds: float) -> list[NodeTime]:
    """Run the model for about ``seconds`` with OpenVINO's counters on; warming up is not counted."""
    session, nodes = _Session(model, _Compiler(model, options, counting=True)), Nodes.of(read_graph(model.path).graph)
    first = next(feeds)
    session.run(first)
    found = layers_of(session.native(first))
    named = nodes.in_layers(found)
    precisions = precisions_of(found, named)
    times = times_of(session.run, session.counters, named, feeds, seconds)
    return [replace(each, precision=precisions.get(each.name, "")) for each in times]


def layers(model: Model, options: OpenVinoOptions) -> list[Layer]:
    """Return what OpenVINO made of the model, with the precision in which each layer is computed."""
    return layers_of(compiled(model, options))


def compiled(model: Model, options: OpenVinoOptions) -> openvino.CompiledModel:
    """Read and compile the model for any sizes; raises ``ModelError`` as opening it does."""
    return _Compiler(model, options).whole()


def import_openvino() -> Any:
    """Return the module, its telemetry off; raises ``MissingPackage``.

    It asks another module to send an event, which makes a folder in the user's home first. Without it, none is sent.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # so Python marks what is not to be found
    try:
        import openvino
    except ImportError as error:
        raise MissingPackage("OpenVINO is not installed", got=str(error), fix=install_command("openvino")) from error
    return openvino


def about() -> dict[str, str]:
    """Return its devices, the precisions in which it computes here, and whether its telemetry is off."""
    core = import_openvino().Core()
    off = sys.modules.get("openvino_telemetry", sys) is None
    return {
        "devices": ", ".join(core.available_devices),
        "precision": "exact, bf16" if _has_bf16(core) else "exact (this CPU has no bf16)",
        "telemetry": "off, as openvino_telemetry is not let in" if off else "on",
    }


def _has_bf16(core: openvino.Core) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cause(text: str) -> str:
    """Return what went wrong in one line, without the places in OpenVINO's source and the conditions checked there."""
    return " ".join(_ITS_SOURCE.sub("", text).split())[:400]


def remark(_model: Model, options: OpenVinoOptions) -> str | None:
    """Return what is to be known of how it is computed."""
    return _ROUNDED if options.precision == "bf16" else None


class _Compiler:
    """A model that was read, and what is compiled of it: once for any sizes, or for each set of sizes that is met.

    Raises ``ModelError`` when the model is refused, or could not be computed as promised.
    """

    def __init__(self, model: Model, options: OpenVinoOptions, *, counting: bool = False) -> None:
        check_model(model)
        self.model, self._options, self._counting = model, options, counting
        self.ov = import_openvino()
        self._of_sizes: dict[tuple[tuple[int, ...], ...], openvino.CompiledModel | None] = {}
        self._static, self._making = options.shapes == "static", threading.Lock()
        with self._explained():
            self._core = self.ov.Core()
            if options.precision == "bf16":
                check_rounding(model, able=_has_bf16(self._core), static=self._static)
            self.read = self._core.read_model(str(model.path))
        self._of_any_sizes: dict[str, openvino.CompiledModel] = {}
        if not self._static:
            self.whole()

    def whole(self) -> openvino.CompiledModel:
        """Return the model compiled for any sizes."""
        with self._making:
            return self._varying(self._options)

    def fitting(self, shapes: tuple[tuple[int, ...], ...]) -> openvino.CompiledModel:
        """Return what runs feeds of these sizes, in the order of the inputs.

        Where nothing is compiled for them, they run in full precision: in another one nobody has judged that.
        """
        found = self._of_sizes.get(shapes) if self._static else self.whole()
        if found is not None:
            return found
        with self._making:
            if shapes not in self._of_sizes and len(self._of_sizes) < _SETS_OF_SIZES:
                self._of_sizes[shapes] = self._fixed(shapes)
            return self._of_sizes.get(shapes) or self._varying(exactly(self._options))

    def _varying(self, options: OpenVinoOptions) -> openvino.CompiledModel:
        if options.precision not in self._of_any_sizes:
            with self._explained():
                properties = _properties(options, counting=self._counting)
                self._of_any_sizes[options.precision] = self._core.compile_model(self.read, "CPU", properties)
        return self._of_any_sizes[options.precision]

    def _fixed(self, shapes: tuple[tuple[int, ...], ...]) -> openvino.CompiledModel | None:
        """Compile for one set of sizes; None if OpenVINO, or the graph, cannot do without sizes that vary."""
        try:
            with self._explained():
                read = self.read.clone()
                read.reshape(dict(enumerate(map(list, shapes))))
                return self._core.compile_model(read, "CPU", _properties(self._options, counting=self._counting))
        except ModelError as error:
            _LOG.info("OpenVINO cannot fix the sizes of %s: %s", self.model.path, error.problems[0].what)
            return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise _refused(self.model, str(error)) from error


class _Session:
    """An open model. Each thread has a request of its own: one can be used by one caller at a time."""

    def __init__(self, model: Model, compiler: _Compiler) -> None:
        self.inputs, self.outputs = model.inputs, model.outputs
        self._compiler, self._where, self._own = compiler, str(model.path), threading.local()
        places = {name: place for place, port in enumerate(compiler.read.inputs) for name in port.get_names()}
        self._places = {spec.name: places[spec.name] for spec in model.inputs if spec.name in places}
        self._order = sorted(self._places, key=self._places.__getitem__)
        self._names = [spec.name for spec in model.outputs]
        self._check = FeedCheck(model)
        if len(self._places) < len(model.inputs) or len(self._names) != len(compiler.read.outputs):
            raise ModelError(
                "OpenVINO made another interface of the model", where=self._where,
                got=f"inputs {', '.join(places)}, and {len(compiler.read.outputs)} outputs",
                expected=f"inputs {', '.join(spec.name for spec in model.inputs)}, and {len(self._names)} outputs",
                fix=OTHERWISE,
            )  # fmt: skip

    def run(self, feeds: Feeds) -> dict[str, Array]:
        self._check(feeds)
        request = self._request(feeds)
        try:
            for name, array in feeds.items():
                request.set_input_tensor(self._places[name], self._tensor(array))
            request.infer()
        except RuntimeError as error:
            got = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feeds.items())
            raise ModelError(
                f"OpenVINO could not run the model: {cause(str(error))}", where=self._where, got=got or "no inputs",
                expected="; ".join(str(spec) for spec in self.inputs),
            ) from error  # fmt: skip
        return {name: request.get_output_tensor(place).data.copy() for place, name in enumerate(self._names)}

    def _tensor(self, array: Array) -> openvino.Tensor:
        """Wrap an array, which is read where it lies if OpenVINO can; its own dictionary of inputs takes longer."""
        plain = array.flags.c_contiguous and array.flags.writeable and array.ndim > 0
        return self._compiler.ov.Tensor(array if plain else array.copy(order="C"), shared_memory=True)

    def native(self, feeds: Feeds) -> openvino.CompiledModel:
        """Return what runs this feed."""
        return self._compiler.fitting(tuple(feeds[name].shape for name in self._order))

    def counters(self) -> list[openvino.ProfilingInfo]:
        """Return what the last run of this thread counted."""
        return list(self._own.last.profiling_info)

    def _request(self, feeds: Feeds) -> openvino.InferRequest:
        """Return this thread's request for what runs this feed."""
        if not hasattr(self._own, "requests"):
            self._own.requests = {}
        native = self.native(feeds)
        if id(native) not in self._own.requests:
            self._own.requests[id(native)] = native.create_infer_request()
        self._own.last = self._own.requests[id(native)]
        request: openvino.InferRequest = self._own.last
        return request


def choices(options: OpenVinoOptions, one_size: bool) -> tuple[OpenVinoOptions, ...]:
    """Return the precisions that this CPU has; of one size, compiled for that."""
    ov = import_openvino()
    shaped = options.model_copy(update={"shapes": "static"}) if one_size else options
    exact = shaped.model_copy(update={"precision": "exact"})
    return (exact, shaped.model_copy(update={"precision": "bf16"})) if _has_bf16(ov.Core()) else (exact,)


def exactly(options: OpenVinoOptions) -> OpenVinoOptions:
    """Return the options that compute in float32."""
    return options.model_copy(update={"precision": "exact"})


def _properties(options: OpenVinoOptions, *, counting: bool) -> dict[str, Any]:
    """Say everything that OpenVINO would otherwise decide by itself."""
    exact = options.precision == "exact"
    return {
        "EXECUTION_MODE_HINT": "ACCURACY" if exact else "PERFORMANCE",
        "INFERENCE_PRECISION_HINT": "f32" if exact else "bf16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "PERFORMANCE_HINT": options.hint.upper(),
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": min(options.streams, options.threads),
        "ENABLE_CPU_PINNING": options.pinning,
        "PERF_COUNT": counting,
    }


def _refused(model: Model, text: str) -> ModelError:
    """Say why OpenVINO does not load a file; and what to do, where that is known."""
    unread = _UNREAD.search(text)
    if unread is None:
        return ModelError(f"OpenVINO refuses the model: {cause(text)}", where=str(model.path))
    return ModelError(
        "OpenVINO does not know operators of this model", where=str(model.path), got=unread[1].strip()[:400],
        expected="operators of ONNX; quantized models as QuantizeLinear and DequantizeLinear around them",
        fix=f"give it the model as it was before `fuse`, or {OTHERWISE}",
    )  # fmt: skip


RUNTIME = Runtime(
    name="openvino",
    kinds=frozenset({ONNX, TENSORRT}),  # of engines, the ONNX file that they were built from
    options=OpenVinoOptions,
    open=open_,
    packages=("openvino",),
    extra="openvino",
    profile=profile,
    layers=layers,
    remark=remark,
    choices=choices,
    exactly=exactly,
    checks_sizes=False,
    about=about,
    tunings=tunings,
    library=import_openvino,
)
