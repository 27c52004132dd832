"""Weights of matrix products in 4 or 8 bits, activations in floating point: MatMulNBits, which onnxruntime brings.

Where the size of the weights is the limit: in memory, or in the time it takes to read them for one token. Every block
of a column has its own scale, so the results stay close to the original's, and nothing is calibrated.

Cases: MatMul, and Gemm (as MatMul and Add), with a constant matrix on the right. ``rtn`` rounds; ``hqq`` also looks for
better zero points, which needs PyTorch and takes long. Both take one weight at a time, so a model may be of any size.

Limits: embedding tables stay as they are. onnxruntime's GPTQ is not offered: it rounds what it has repaired once more,
with other scales, and came no closer than ``rtn``. With 2 bits, nothing was left of a small encoder's outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.compress.quantization.copies import dynamic_forms, remarks
from mlopt.compress.quantization.fallback import largest
from mlopt.compress.quantization.observe import one_batch, quiet, refusal
from mlopt.compress.quantization.per_channel_weights import computed_by, rewrite_pieces
from mlopt.compress.quantization.prepared import WorkingCopy, save
from mlopt.compress.quantization.settings import Algorithm, WeightOnly, unfit
from mlopt.compress.quantization.versions import Written
from mlopt.core.packages import install_command, version
from mlopt.data.dataset import Array, Dataset
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import read_graph

if TYPE_CHECKING:
    import onnx

_QUANTIZER_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)
"""What onnxruntime's quantizers raise on a graph that they cannot handle: they have no error of their own."""


def objection(settings: WeightOnly) -> str | None:
    """Return why these settings cannot be carried out here, or None."""
    if (told := unfit(settings)) is not None:
        return told
    if version("onnx-ir") is None:
        return "onnxruntime's quantizer needs onnx-ir: pip install onnx-ir"
    if settings.algorithm is Algorithm.HQQ and version("torch") is None:
        return f"hqq needs PyTorch: {install_command('torch')}"
    return None


def write(
    prepared: WorkingCopy,
    out: Path,
    settings: WeightOnly,
    nodes: Sequence[str],
    data: Dataset | None,
    inputs: Sequence[TensorSpec],
) -> Written:
    """Write the model with the weights of ``nodes`` in few bits, and try it on a sample of ``data``, if there is any.

    A node that is no plain product with a constant matrix is left. What ``objection`` says is the outcome's fault.
    """
    if (reason := objection(settings)) is not None:
        return Written(frozenset(), {}, {}, fault=reason)
    feeds = one_batch(data, inputs, 1)

    def attempt(chosen: tuple[str, ...]) -> str | None:
        return _attempt(prepared, out, settings, chosen, feeds)

    chosen, left = tuple(nodes), dict[str, str]()
    if (fault := attempt(chosen)) is not None:
        fit = largest(chosen, attempt)
        chosen, left = fit.taken, fit.refused
        if not chosen or (fault := attempt(chosen)) is not None:
            return Written(frozenset(), {}, left, fault)
    quantized = computed_by(("MatMulNBits",), read_graph(out).graph, prepared).intersection(nodes)
    passed_over = dict.fromkeys(nodes, "no plain product with a constant matrix")
    left = {name: reason for name, reason in (passed_over | left).items() if name not in quantized}
    return Written(quantized, {}, left, remarks=remarks(prepared.path, dynamic_forms(quantized, ())))


def _attempt(
    prepared: WorkingCopy, out: Path, settings: WeightOnly, nodes: Sequence[str], feeds: Mapping[str, Array] | None
) -> str | None:
    """Write and try; return what went wrong, or None."""
    forms = dynamic_forms(nodes, ())
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # hqq only reads it
            proto = rewrite_pieces(prepared, nodes, lambda piece, _: _quantized(piece, settings), forms)
    except _QUANTIZER_ERRORS as error:
        return f"the quantizer failed: {type(error).__name__}: {error}"
    save(proto, out, external=prepared.external, source=prepared.path.parent)
    fault = refusal(out, feeds)
    return f"onnxruntime refused the result: {fault}" if fault else None


def _quantized(model: onnx.ModelProto, settings: WeightOnly) -> onnx.ModelProto:
    """Quantize every product of a model."""
    from onnxruntime.quantization import matmul_nbits_quantizer as tools
    from onnxruntime.quantization.onnx_model import ONNXModel

    ONNXModel(model).replace_gemm_with_matmul()
    if settings.algorithm is Algorithm.HQQ:
        config = tools.HQQWeightOnlyQuantConfig(block_size=settings.block_size, bits=settings.bits)
    else:
        config = tools.DefaultWeightOnlyQuantConfig(
            block_size=settings.block_size,
            is_symmetric=settings.symmetric,
            accuracy_level=settings.accuracy_level,
            bits=settings.bits,
        )
    quantizer = tools.MatMulNBitsQuantizer(model, algo_config=config)
    quantizer.process()
    written: onnx.ModelProto = quantizer.model.model
    return written
