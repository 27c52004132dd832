"""OpenVINO, on the CPU, reading the ONNX file itself.

Left alone, it computes in the fastest precision that the CPU has, quantizes activations on the way, binds its threads
to cores, and sends an event when it is imported. Here all of that is said: ``exact`` is float32 throughout.

It checks little of what it is fed. A feed of another type is converted, one that is missing is taken for an empty one,
and sizes that do not go together are computed all the same, from memory that is not theirs; integers are cut to 32
bits, and float64 is computed in float32. So feeds are held against the model's interface here, and what cannot be right
is refused. What does not fit only inside the graph (a Reshape to another number of elements) nobody sees.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import check_ranks, check_tensors, read_graph
from mlopt.results.timing import Layer, NodeTime
from mlopt.runtimes.base import Array, Feeds, Runtime, Session
from mlopt.runtimes.feeds import check_feeds
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.openvino_profile import Nodes, layers_of, precisions_of, times_of

if TYPE_CHECKING:
    import openvino

_ITS_SOURCE = re.compile(r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|FrontEnd API failed with \w+:")
_UNREAD = re.compile(r"No conversion rule found for operations: ([^\n]*)")
_ROUNDED = "products and sums are computed in bfloat16, which keeps 8 bits of a float32: this is lossy"
_INEXACT = {"float64": "OpenVINO computes float64 in float32 on a CPU", "string": "OpenVINO's text is not taken here"}
_OTHERWISE = "run it with `runtime: onnxruntime`"


@contextmanager
def open_(model: Model, options: OpenVinoOptions) -> Iterator[Session]:
    """Load the file by its path, so that external data of any size is found beside it."""
    yield _Session(model, compiled(model, options))


def profile(model: Model, options: OpenVinoOptions, feeds: Iterator[Feeds], seconds: float) -> list[NodeTime]:
    """Run the model for about ``seconds`` with OpenVINO's counters on; warming up is not counted."""
    native = compiled(model, options, counting=True)
    session, found = _Session(model, native), layers_of(native)
    named = Nodes.of(read_graph(model.path).graph).in_layers(found)
    precisions = precisions_of(found, named)
    times = times_of(session.run, session.counters, named, feeds, seconds)
    return [replace(each, precision=precisions.get(each.name, "")) for each in times]


def layers(model: Model, options: OpenVinoOptions) -> list[Layer]:
    """Return what OpenVINO made of the model, with the precision in which each layer is computed."""
    return layers_of(compiled(model, options))


def compiled(model: Model, options: OpenVinoOptions, *, counting: bool = False) -> openvino.CompiledModel:
    """Read and compile the model; raises ``ModelError`` when it is refused, or could not be computed as promised."""
    _check(model)
    ov = import_openvino()
    try:
        core = ov.Core()
        if options.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ModelError(
                "this CPU does not compute in bfloat16", where=str(model.path), got="precision: bf16",
                expected="a CPU with AVX512_BF16 or AMX", fix="precision: exact",
            )  # fmt: skip
        return core.compile_model(core.read_model(str(model.path)), "CPU", _properties(options, counting=counting))
    except RuntimeError as error:
        raise _refused(model, str(error)) from error


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


def cause(text: str) -> str:
    """Return what went wrong in one line, without the places in OpenVINO's source and the conditions checked there."""
    return " ".join(_ITS_SOURCE.sub("", text).split())[:400]


def remark(_model: Model, options: OpenVinoOptions) -> str | None:
    """Return what is to be known of how it is computed."""
    return _ROUNDED if options.precision == "bf16" else None


class _Session:
    """An open model. Each thread has a request of its own: one can be used by one caller at a time."""

    def __init__(self, model: Model, native: openvino.CompiledModel) -> None:
        self.inputs, self.outputs = model.inputs, model.outputs
        self._native, self._where, self._own = native, str(model.path), threading.local()
        places = {name: place for place, port in enumerate(native.inputs) for name in port.get_names()}
        self._places = {spec.name: places[spec.name] for spec in model.inputs if spec.name in places}
        self._names = [spec.name for spec in model.outputs]
        if len(self._places) < len(model.inputs) or len(self._names) != len(native.outputs):
            raise ModelError(
                "OpenVINO made another interface of the model", where=self._where,
                got=f"inputs {', '.join(places)}, and {len(native.outputs)} outputs",
                expected=f"inputs {', '.join(spec.name for spec in model.inputs)}, and {len(self._names)} outputs",
                fix=_OTHERWISE,
            )  # fmt: skip

    def run(self, feeds: Feeds) -> dict[str, Array]:
        check_feeds(feeds, self.inputs, self._where, bits=32)
        placed = {self._places[name]: array for name, array in feeds.items()}
        try:
            outputs = self._request().infer(placed, share_inputs=True, share_outputs=False)
        except RuntimeError as error:
            got = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feeds.items())
            raise ModelError(
                f"OpenVINO could not run the model: {cause(str(error))}", where=self._where, got=got or "no inputs",
                expected="; ".join(str(spec) for spec in self.inputs),
            ) from error  # fmt: skip
        return dict(zip(self._names, outputs.to_tuple(), strict=True))

    def counters(self) -> list[openvino.ProfilingInfo]:
        """Return what the last run of this thread counted."""
        return list(self._request().profiling_info)

    def _request(self) -> openvino.InferRequest:
        if not hasattr(self._own, "request"):
            self._own.request = self._native.create_infer_request()
        request: openvino.InferRequest = self._own.request
        return request


def _check(model: Model) -> None:
    """Refuse what OpenVINO would take, and compute otherwise than the model says, or break at (text)."""
    check_tensors(model)
    check_ranks(model)
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype in _INEXACT:
            raise ModelError(
                _INEXACT[spec.dtype], where=f"{model.path}: '{spec.name}'", got=spec.dtype,
                expected="inputs and outputs in float32, float16, integers or bool", fix=_OTHERWISE,
            )  # fmt: skip


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
        fix=f"give it the model as it was before `fuse`, or {_OTHERWISE}",
    )  # fmt: skip


RUNTIME = Runtime(
    name="openvino",
    kinds=frozenset({ONNX}),
    options=OpenVinoOptions,
    open=open_,
    packages=("openvino",),
    extra="openvino",
    profile=profile,
    layers=layers,
    remark=remark,
    checks_sizes=False,
    library=import_openvino,
)
