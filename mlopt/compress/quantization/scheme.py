"""Which kind of INT8 suits a graph and a CPU. Pure functions, so every machine's answer can be tested on any other.

The wrong kind is not a little slower but several times slower than FP32, or silently wrong: without VNNI the x86
kernels add pairs of products in 16 bits, which saturate unless the weights keep to 7 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mlopt.core.hardware import Hardware


class Mode(StrEnum):
    """When activations get their scale: from calibration data beforehand, or from each input as it comes."""

    AUTO = "auto"
    STATIC = "static"
    DYNAMIC = "dynamic"
    WEIGHT_ONLY = "weight_only"


class Scheme(StrEnum):
    """The signs of activations and weights: ``u8s8`` is unsigned activations, signed weights."""

    AUTO = "auto"
    U8S8 = "u8s8"
    S8S8 = "s8s8"
    U8U8 = "u8u8"

    @property
    def signed_activations(self) -> bool:
        """Whether activations are INT8 rather than UINT8."""
        return self is Scheme.S8S8

    @property
    def signed_weights(self) -> bool:
        """Whether weights are INT8 rather than UINT8."""
        return self is not Scheme.U8U8


Reader = Literal["onnxruntime", "tensorrt"]
"""What will read the graph."""


@dataclass(frozen=True)
class Placement:
    """Where Q/DQ pairs stand and what they may hold: each runtime fuses its own form, and refuses others."""

    symmetric_activations: bool
    """Whether zero is code 0 in every activation."""
    quantized_biases: bool
    """Whether biases are INT32 with a DequantizeLinear of their own."""
    dedicated_pairs: bool
    """Whether every reader of a tensor has a Q/DQ pair of its own."""
    rounds_float_layers: bool
    """Whether the loader rounds the FP32 weights of a layer that reads a DequantizeLinear (see ``float_layers``)."""

    @property
    def quantizer_options(self) -> dict[str, bool]:
        """The same in the words of onnxruntime's ``QDQQuantizer`` (its ``extra_options``)."""
        return {
            "ActivationSymmetric": self.symmetric_activations,
            "QuantizeBias": self.quantized_biases,
            "DedicatedQDQPair": self.dedicated_pairs,
        }


PLACEMENTS: Mapping[Reader, Placement] = {
    "onnxruntime": Placement(
        symmetric_activations=False, quantized_biases=True, dedicated_pairs=False, rounds_float_layers=True
    ),
    "tensorrt": Placement(
        symmetric_activations=True, quantized_biases=False, dedicated_pairs=True, rounds_float_layers=False
    ),
}


@dataclass(frozen=True)
class Integers:
    """A decided scheme, whether weights keep to 7 bits, and why."""

    scheme: Scheme
    reduce_range: bool
    reason: str
    saturates: bool = False
    """Whether 8-bit weights can overflow the 16-bit accumulator of a CPU that the model is for."""
    placement: Placement = PLACEMENTS["onnxruntime"]


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one inference as far as shapes are known, and how many nodes they are in."""

    conv: int
    matmul: int
    conv_nodes: int
    matmul_nodes: int
    recurrent_nodes: int = 0

    @property
    def convolutional(self) -> bool:
        """Whether convolutions do at least half of the work."""
        return self.conv_nodes > 0 and self.conv >= self.matmul


def choose_integers(
    scheme: Scheme,
    reduce_range: bool | None,
    mode: Mode,
    hardware: Hardware,
    runtime: Reader = "onnxruntime",
    *,
    portable: bool = False,
) -> Integers:
    """Settle what the configuration leaves open; what it states is kept.

    ``portable`` asks for weights that are right on every CPU, whatever this one is.
    """
    if runtime == "tensorrt":
        stated = scheme is not Scheme.AUTO
        reason = "set in the recipe" if stated else "TensorRT takes signed integers whose zero is code 0"
        chosen = scheme if stated else Scheme.S8S8
        return Integers(chosen, bool(reduce_range), reason, placement=PLACEMENTS[runtime])
    chosen, reason = (scheme, "set in the recipe") if scheme is not Scheme.AUTO else _fastest(mode, hardware)
    saturates = (hardware.adds_in_16_bits or portable) and chosen.signed_weights
    if reduce_range is None and saturates:
        why = "no VNNI" if hardware.adds_in_16_bits else "portable"
        reason += f"; {why}: weights keep to 7 bits, so that a 16-bit accumulator cannot saturate"
    return Integers(chosen, saturates if reduce_range is None else reduce_range, reason, saturates)


def _fastest(mode: Mode, hardware: Hardware) -> tuple[Scheme, str]:
    """Return the scheme that onnxruntime's kernels compute fastest on this CPU, and why."""
    if mode is Mode.DYNAMIC:
        return Scheme.U8S8, "onnxruntime's dynamic activations are unsigned"
    if hardware.architecture in {"aarch64", "arm64"}:
        return Scheme.S8S8, "Arm kernels multiply signed by signed"
    return Scheme.U8S8, "x86 kernels multiply unsigned by signed" if hardware.is_x86 else "no faster scheme is known"


def objection(
    mode: Mode, scheme: Scheme, work: Work, *, calibrated: bool, runtime: Reader = "onnxruntime"
) -> str | None:
    """Return why the graph, the data at hand or the runtime rules out a mode (not ``auto``), or None."""
    calibratable = work.conv_nodes or work.matmul_nodes
    no_layer, only_conv = not (calibratable or work.recurrent_nodes), not (work.matmul_nodes or work.recurrent_nodes)
    better = Mode.STATIC if only_conv else Mode.DYNAMIC
    dynamic = mode is Mode.DYNAMIC
    faults = (
        (no_layer, "nothing to quantize: no Conv, MatMul, Gemm or LSTM reads constant float32 weights"),
        (mode is Mode.STATIC and not calibrated,
         "static INT8 needs calibration data: name it under data.calibration, or pass --data"),
        (runtime == "tensorrt" and not calibratable, "TensorRT has no LSTM in INT8"),
        (mode is Mode.STATIC and not calibratable,
         "onnxruntime has an LSTM in INT8 only with scales that follow its input: use mode dynamic"),
        (mode is Mode.WEIGHT_ONLY and not work.matmul_nodes,
         f"weight-only is for MatMul and Gemm, and there are none here: use mode {better}"),
        (dynamic and only_conv,
         f"dynamic INT8 is for MatMul, Gemm and LSTM; onnxruntime runs Conv several times slower: use mode {better}"),
        (dynamic and scheme is Scheme.S8S8,
         "dynamic INT8 has unsigned activations: use scheme u8s8, u8u8 or auto"),
    )  # fmt: skip
    return next((reason for applies, reason in faults if applies), None)
