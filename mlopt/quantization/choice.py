"""Which kind of INT8 suits a graph and a CPU. Pure functions, so every machine's answer can be tested on any other.

The wrong kind is not a little slower but several times slower than FP32, or silently wrong: without VNNI the x86
kernels add pairs of products in 16 bits, which saturate unless the weights keep to 7 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlopt.hardware import Hardware


class Mode(StrEnum):
    """When activations get their scale: from calibration data beforehand, or from each input as it comes."""

    AUTO = "auto"
    STATIC = "static"
    DYNAMIC = "dynamic"


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


@dataclass(frozen=True)
class Integers:
    """A decided scheme, whether weights keep to 7 bits, and why."""

    scheme: Scheme
    reduce_range: bool
    reason: str


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one inference as far as shapes are known, and how many nodes they are in."""

    conv: int
    matmul: int
    conv_nodes: int
    matmul_nodes: int

    @property
    def convolutional(self) -> bool:
        """Whether convolutions do at least half of the work."""
        return self.conv_nodes > 0 and self.conv >= self.matmul


def choose_integers(scheme: Scheme, reduce_range: bool | None, mode: Mode, hardware: Hardware) -> Integers:
    """Settle what the configuration leaves open; what it states is kept."""
    arm = hardware.architecture in {"aarch64", "arm64"}
    x86 = hardware.architecture in {"x86_64", "AMD64", "i686"}
    saturates = x86 and not hardware.has_int8_dot
    if scheme is not Scheme.AUTO:
        chosen, reason = scheme, "set in the recipe"
    elif mode is Mode.DYNAMIC:
        chosen, reason = Scheme.U8S8, "onnxruntime's dynamic activations are unsigned"
    elif arm:
        chosen, reason = Scheme.S8S8, "Arm kernels multiply signed by signed"
    else:
        chosen, reason = Scheme.U8S8, "x86 kernels multiply unsigned by signed" if x86 else "no faster scheme is known"
    if reduce_range is None:
        reduce_range = saturates and chosen.signed_weights
        if reduce_range:
            reason += "; no VNNI: weights keep to 7 bits, so that the 16-bit accumulator cannot saturate"
    return Integers(chosen, reduce_range, reason)


def choose_mode(mode: Mode, work: Work) -> Mode:
    """Settle ``auto``: static where convolutions dominate, dynamic where matrix products do."""
    if mode is not Mode.AUTO:
        return mode
    return Mode.STATIC if work.convolutional else Mode.DYNAMIC


def objection(mode: Mode, scheme: Scheme, work: Work, *, calibrated: bool) -> str | None:
    """Return why the graph or the data at hand rules out a settled mode, or None."""
    if not work.conv_nodes and not work.matmul_nodes:
        return "nothing to quantize: no Conv, MatMul or Gemm reads constant float32 weights"
    if mode is Mode.STATIC and not calibrated:
        return "static INT8 needs calibration data: name it under data.calibration, or pass --data"
    if mode is Mode.DYNAMIC and not work.matmul_nodes:
        return (
            "dynamic INT8 is for MatMul and Gemm, and only Conv reads constant weights here, which onnxruntime runs "
            "several times slower that way: use mode static"
        )
    if mode is Mode.DYNAMIC and scheme is Scheme.S8S8:
        return "dynamic INT8 has unsigned activations: use scheme u8s8, u8u8 or auto"
    return None
