"""One model, written in fewer bits as often as asked: this mode, these layers.

A layer is a Conv, MatMul, Gemm or LSTM that reads constant weights (and an embedding table, where size counts). An LSTM
has dynamic scales in static mode too: onnxruntime knows no other. What all versions share, the prepared copy and the
ranges of its tensors, is made once. What stands between two static layers follows them: values that go from INT8 to
INT8 should not turn into FP32 on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.compress.quantization import weight_only
from mlopt.compress.quantization.bias_correction import correct_means, correct_weights, input_means
from mlopt.compress.quantization.graph import Survey, matching, prepare
from mlopt.compress.quantization.integers import PER_CHANNEL_OPSET, IntegerJob, quantize, quantized_layers
from mlopt.compress.quantization.observe import absolute_maxima, element_counts, observe, one_batch, same_outputs
from mlopt.compress.quantization.prepared import RECURRENT, WorkingCopy, first_output
from mlopt.compress.quantization.scheme import Integers, Mode, choose_integers
from mlopt.compress.quantization.settings import Settings
from mlopt.compress.quantization.smooth import quantize_with_nncf
from mlopt.compress.quantization.versions import Written
from mlopt.compress.quantization.weights import not_finite
from mlopt.core.cache import Store
from mlopt.core.errors import PassError
from mlopt.core.packages import version
from mlopt.data.dataset import Array, Dataset
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph

if TYPE_CHECKING:
    import onnx
    from onnxruntime.quantization.calibrate import TensorsData

BETWEEN = (
    "Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Concat", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Resize", "Pad", "Split",
)  # fmt: skip
"""Operators with an INT8 kernel in onnxruntime, or through which INT8 values pass unchanged. Softmax is not among them:
1/256 steps are too coarse for probabilities."""
_ENDING = ("Relu", "Clip")
"""Activations that a layer's output scale takes in."""
LAYERS = ("Conv", "Gemm", "MatMul")
OLDEST_OPSET = 11
"""DynamicQuantizeLinear came with it; onnxruntime's quantizer takes nothing older."""
_WIDEST_RANGE = 1e6
"""A tensor that reaches this holds a mask (-1e9, -inf): 256 steps over its range leave nothing of the other values."""


class Writer:
    """Writes versions of one model.

    ``calibration`` are the samples to calibrate on, which static mode needs; ``samples`` those to try results on where
    there are none. In ``store``, the ranges of tensors outlive a change of the settings.
    """

    def __init__(
        self, model: Model, found: Survey, settings: Settings, scratch: Path, *, calibration: Dataset | None,
        samples: Dataset | None, store: Store | None = None,
    ) -> None:  # fmt: skip
        self.model, self.settings, self.calibration = model, settings, calibration
        self._found, self._store, self._data = found, store, calibration or samples
        self._feeds = one_batch(self._data, model.inputs, settings.batch_size)
        axis = settings.per_channel and calibration is not None and settings.mode in (Mode.AUTO, Mode.STATIC)
        wanted = PER_CHANNEL_OPSET if axis else OLDEST_OPSET
        self.prepared, self.remarks = _prepare(model, scratch, self._feeds, wanted)
        self.graph: onnx.GraphProto = read_graph(self.prepared.path).graph
        self.weighted = tuple(node.name for node in self.graph.node if first_output(node) in found.weighted)

    @cached_property
    def ranges(self) -> TensorsData:
        """The range of each activation."""
        if self.calibration is None:
            raise PassError("static INT8 needs calibration data", where="pass 'quantize'")
        method, types = self.settings.calibration, (*LAYERS, *BETWEEN)
        return observe(
            self.prepared, self.calibration, self.model.inputs, method=method, op_types=types, store=self._store
        )

    def integers(self, mode: Mode) -> Integers:
        """Return the scheme of a mode."""
        how = self.settings
        return choose_integers(
            how.scheme, how.reduce_range, mode, how.hardware, how.placement, portable=how.portable
        )  # fmt: skip

    def pair_safe(self, mode: Mode) -> bool:
        """Whether weights keep 8 bits all the same, but for the channels that would overflow."""
        integers, static = self.integers(mode), mode is Mode.STATIC and self.per_channel
        return static and integers.reduce_range and self.settings.reduce_range is None

    @property
    def too_old(self) -> str | None:
        """Why the model's opset rules out integers, or None."""
        if self.prepared.opset >= OLDEST_OPSET:
            return None
        return (
            f"opset {self.prepared.opset} is too old for INT8, and {self.remarks[0]}: export the model again, "
            f"with opset {PER_CHANNEL_OPSET} or later"
        )

    @property
    def per_channel(self) -> bool:
        """Whether weights get one scale per output channel."""
        return self.settings.per_channel and self.prepared.opset >= PER_CHANNEL_OPSET

    def weight_bytes(self) -> dict[str, int]:
        """Return how many bytes of FP32 weights each layer reads."""
        sizes = {tensor.name: 4 * prod(tensor.dims) for tensor in self.graph.initializer}
        return {node.name: max((sizes.get(name, 0) for name in node.input), default=0) for node in self.graph.node}

    def activations(self) -> dict[str, int]:
        """Return how many values each layer reads in one inference, and, under "", how many the last one writes."""
        if self.calibration is None:
            return {}
        nodes = [node for node in self.graph.node if node.name in self.weighted and node.op_type != RECURRENT]
        wanted = [*(node.input[0] for node in nodes), *(node.output[0] for node in nodes[-1:])]
        sizes = element_counts(self.prepared.path, wanted, self.calibration, self.model.inputs)
        return {**{n.name: sizes.get(n.input[0], 0) for n in nodes}, "": sizes.get(wanted[-1], 0) if wanted else 0}

    def layers(self, mode: Mode) -> tuple[str, ...]:
        """Return the layers that can change, in the graph's order."""
        excluded, tables = self.excluded(mode), frozenset(self._tables(mode))
        names = (node.name for node in self.graph.node if node.name in self.weighted or node.name in tables)
        return tuple(name for name in names if name not in excluded)

    def excluded(self, mode: Mode) -> dict[str, str]:
        """Return the nodes that the recipe or the mode leaves alone, and why."""
        reason = f"one of the first {self.settings.keep_first}, which the recipe keeps"
        excluded = dict.fromkeys(self.weighted[: self.settings.keep_first], reason)
        if mode is Mode.DYNAMIC:
            excluded |= self._of_type("Conv", "a Conv with dynamic scales is several times slower in onnxruntime")
        if mode in (Mode.DYNAMIC, Mode.WEIGHT_ONLY):
            excluded |= {name: reason for name, reason in _odd_gemms(self.graph).items() if name in self.weighted}
        if mode is Mode.WEIGHT_ONLY:
            excluded |= self._of_type("Conv", "onnxruntime has no weight-only Conv")
            excluded |= self._of_type(RECURRENT, f"onnxruntime has no weight-only {RECURRENT}")
        if self.settings.placement == "tensorrt":
            excluded |= self._of_type(RECURRENT, f"TensorRT has no {RECURRENT} in INT8")
        if mode is Mode.STATIC:
            excluded |= _too_wide(self.graph, self.ranges)
        excluded |= self._not_finite
        return excluded | matching(self.graph, self.settings.exclude, where=self.settings.excluded_by)

    def write(self, mode: Mode, layers: Collection[str], out: Path) -> Written:
        """Write the version in which ``layers`` compute in ``mode``; ``Written.fault`` says why that failed, if so."""
        if mode is Mode.WEIGHT_ONLY:
            how = self.settings.weight_only
            return weight_only.write(self.prepared, out, how, tuple(layers), self._data, self.model.inputs)
        static = mode is Mode.STATIC
        excluded = self.excluded(mode)
        if static and self.settings.smooth_quant:
            return self._smoothed(layers, out)
        nodes = self._with_between(layers, excluded) if static else tuple(layers)
        job = IntegerJob(
            self.prepared, mode, self.integers(mode), nodes,
            per_channel=self.per_channel if static else self.settings.per_channel, excluded=excluded,
            ranges=self.ranges if static else None, feeds=self._feeds,
            pair_safe=self.pair_safe(mode),
            float_outputs=() if self._found.work.convolutional else ("MatMul", "Gemm"),
        )  # fmt: skip
        outcome = quantize(job, out)
        if static and outcome.fault is None and self.settings.bias_correction:
            correct_weights(out, self.prepared.path, self._input_means, external=self.prepared.external)
        return outcome

    def smoothed(self, out: Path) -> Written | None:
        """Let NNCF quantize the whole model, where it is installed and there are products of matrices to smooth."""
        suits = self.calibration is not None and not self._found.work.convolutional and not self.settings.portable
        if not suits or version("nncf") is None:
            return None
        return self._smoothed(self.layers(Mode.STATIC), out)

    def mend(self, mode: Mode, out: Path, *, deadline: float = float("inf")) -> bool:
        """Correct what a version's layers are off by on average, if its mode allows; return whether that changed it.

        It takes as many runs as there are layers, as far as ``deadline`` (of ``time.monotonic``) allows.
        """
        if mode is not Mode.STATIC or not self.settings.bias_correction or self.calibration is None:
            return False
        external = self.prepared.external
        done = correct_means(
            out, self.prepared.path, self.calibration, self.model.inputs, external=external, deadline=deadline
        )
        return done > 0

    @cached_property
    def _not_finite(self) -> dict[str, str]:
        return {
            name: why
            for name, why in not_finite(self.graph, self.prepared.path.parent).items()
            if name in self.weighted
        }

    @cached_property
    def _input_means(self) -> Mapping[str, Array]:
        if self.calibration is None:
            return {}
        return input_means(self.prepared.path, self.weighted, self.calibration, self.model.inputs)

    def _smoothed(self, layers: Collection[str], out: Path) -> Written:
        """Let NNCF smooth, quantize and correct; it places its own Q/DQ pairs."""
        if self.calibration is None:
            raise PassError("SmoothQuant needs calibration data", where="pass 'quantize'")
        spared = [name for name in self.weighted if name not in layers]
        fault = quantize_with_nncf(self.prepared, self.calibration, self.model.inputs, out, excluded=spared)
        done = quantized_layers(out, self.prepared) if fault is None else frozenset()
        return Written(done, {}, {}, fault)

    def _tables(self, mode: Mode) -> Iterable[str]:
        """The embedding tables, which shrink in dynamic mode: where that was asked for, or where size counts."""
        if mode is not Mode.DYNAMIC or not self.settings.tables:
            return ()
        floats = {tensor.name for tensor in self.graph.initializer if tensor.data_type == tensor.FLOAT}
        return (node.name for node in self.graph.node if node.op_type == "Gather" and node.input[0] in floats)

    def _of_type(self, op_type: str, reason: str) -> dict[str, str]:
        return {n.name: reason for n in self.graph.node if n.op_type == op_type and n.name in self.weighted}

    def _with_between(self, layers: Collection[str], excluded: Mapping[str, str]) -> tuple[str, ...]:
        """Add what stands between static layers; an LSTM is none, since what it reads and writes is FP32.

        Around matrix products alone nothing follows, and their results are not rounded: sums and activations in 8 bits
        destroy what a transformer computes (MiniLM: cosine 0.94 with rounded results, 0.99 without).
        """
        chosen = {node.name: node.op_type for node in self.graph.node if node.name in layers}
        if not self._found.work.convolutional:
            return tuple(chosen)
        recurrent = tuple(name for name, op_type in chosen.items() if op_type == RECURRENT)
        free = frozenset(n.name for n in self.graph.node if n.op_type in BETWEEN and n.name not in excluded)
        observed = frozenset(name for name, _ in self.ranges.items())
        return (*recurrent, *between(self.graph, chosen.keys() - set(recurrent), free, observed))


def between(
    graph: onnx.GraphProto, layers: Collection[str], free: frozenset[str], observed: frozenset[str]
) -> tuple[str, ...]:
    """Return ``layers`` and those of the ``free`` nodes that stand between them: all that they read comes from
    them, and what they write leads to them or out of the graph. An activation that a layer ends with belongs to it.

    ``observed`` are the tensors with a known range: floating point, and no constants.
    """
    inside: set[str] = set()
    chosen: set[str] = set()
    for node in graph.node:
        read = [name for name in node.input if name in observed]
        follows = node.name in free and bool(read) and inside.issuperset(read) and node.output[0] in observed
        if node.name in layers or follows:
            chosen.add(node.name)
            inside.update(node.output)
    wanted: set[str] = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        leads = node.op_type in _ENDING or not wanted.isdisjoint(node.output)
        if node.name in layers or (node.name in chosen and leads):
            kept.append(node.name)
            wanted.update(node.input)
    return tuple(reversed(kept))


def _prepare(
    model: Model, folder: Path, feeds: Mapping[str, Array] | None, wanted: int
) -> tuple[WorkingCopy, tuple[str, ...]]:
    """Return a copy at the wanted opset or, where the model cannot be raised to it, at its own; and remarks on that.

    The converter is not trusted: what it wrote must compute what the model computes.
    """
    try:
        prepared = prepare(model, folder, minimum_opset=wanted)
    except ValueError as error:
        return prepare(model, folder), (f"the opset cannot be raised to {wanted}: {error}",)
    if prepared.raised_from is None:
        return prepared, ()
    if feeds is None or same_outputs(model.path, prepared.path, feeds):
        return prepared, (f"the opset was raised from {prepared.raised_from} to {prepared.opset}",)
    return prepare(model, folder), (f"raising the opset to {wanted} changes what the model computes",)


def _odd_gemms(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the Gemm nodes that onnxruntime's quantizer does not split into MatMul and Add, and why."""
    odd = {
        node.name: [f"{a.name} {a.i or round(a.f, 6)}" for a in node.attribute
                    if (a.name in {"alpha", "beta"} and a.f != 1) or (a.name == "transA" and a.i)]
        for node in graph.node if node.op_type == "Gemm"
    }  # fmt: skip
    return {name: f"a Gemm with {' and '.join(told)} is for mode static only" for name, told in odd.items() if told}


def _too_wide(graph: onnx.GraphProto, ranges: TensorsData) -> dict[str, str]:
    """Return the nodes that read or write a tensor whose range leaves INT8 no resolution."""
    wide = {name: value for name, value in absolute_maxima(ranges).items() if value >= _WIDEST_RANGE}
    return {
        node.name: f"'{name}' reaches {wide[name]:.3g}"
        for node in graph.node
        if node.op_type in (*LAYERS, *BETWEEN)
        for name in (*node.input, *node.output)
        if name in wide
    }
