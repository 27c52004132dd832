"""How a model is to be quantized: plain frozen settings, for the algorithms that carry them out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mlopt.compress.quantization.scheme import Mode, Reader, Scheme
from mlopt.core.hardware import Hardware


class Calibration(StrEnum):
    """How a tensor's range follows from what was seen."""

    MINMAX = "minmax"
    MOVING_AVERAGE = "moving_average"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


class Algorithm(StrEnum):
    """How weights become integers."""

    RTN = "rtn"
    HQQ = "hqq"


@dataclass(frozen=True)
class WeightOnly:
    """How the weights are stored, and how onnxruntime computes with them."""

    bits: Literal[4, 8] = 4
    block_size: int = 32
    """So many weights of a column share a scale: a power of two from 16 on."""
    symmetric: bool = True
    """Whether zero is the middle of the integers; otherwise every block has a zero point as well."""
    algorithm: Algorithm = Algorithm.RTN
    accuracy_level: int = 4
    """What activations are rounded to inside the product: 4 is INT8, the fastest on CPUs; 0 keeps float32."""


def unfit(settings: WeightOnly) -> str | None:
    """Return why these settings cannot be carried out anywhere, or None."""
    size = settings.block_size
    if size < 16 or size & (size - 1):
        return f"block_size is {size}, and onnxruntime's kernels take powers of two from 16 on"
    if settings.algorithm is Algorithm.HQQ and settings.symmetric:
        return "hqq looks for zero points, so it cannot be symmetric: add `symmetric: false`"
    if settings.algorithm is Algorithm.HQQ and settings.bits != 4:
        return f"onnxruntime runs hqq's zero points with 4 bits, not with {settings.bits}: add `bits: 4`, or use rtn"
    return None


@dataclass(frozen=True)
class Settings:
    """What is written, and for which machine."""

    mode: Mode
    """What was asked for; with ``auto``, each version has a mode of its own."""
    scheme: Scheme
    reduce_range: bool | None
    """Whether weights keep to 7 bits; None: where the CPU needs it."""
    portable: bool
    """Whether the weights must be right on every CPU."""
    per_channel: bool
    calibration: Calibration
    bias_correction: bool
    smooth_quant: bool
    placement: Reader
    keep_first: int
    """So many layers from the input on stay in FP32."""
    exclude: tuple[str, ...]
    """Names or patterns of nodes that stay in FP32."""
    excluded_by: str
    """The recipe's key of ``exclude``, for its errors."""
    weight_only: WeightOnly
    tables: bool
    """Whether embedding tables shrink too, in dynamic mode."""
    hardware: Hardware
    batch_size: int
