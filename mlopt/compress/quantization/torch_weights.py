"""Weight-only quantization by neural-compressor: the linear layers of a module in 4 or 8 bits, activations as they are.

neural-compressor packs the integers for its own kernels. Here they are taken out again, so that they can become ONNX.
GPTQ and AWQ work along a ``ModuleList`` of equal blocks, as transformers have it; RTN takes each layer by itself.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from mlopt.compress.quantization.torch_blocks import BlockLinear

Algorithm = Literal["rtn", "gptq", "awq", "autoround"]


@dataclass(frozen=True)
class WeightFormat:
    """How a weight is kept: integers of ``bits``, and one scale per ``block`` inputs of each output."""

    bits: int
    block: int
    symmetric: bool


def obstacle(module: torch.nn.Module, algorithm: Algorithm, inputs: int) -> str | None:
    """Return why the algorithm does not take the module, or None."""
    import torch

    kinds = {type(each) for each in module.modules()}
    if torch.nn.Linear not in kinds:
        return "weight-only quantization is for torch.nn.Linear, and the module has none"
    if algorithm in {"gptq", "awq"} and torch.nn.ModuleList not in kinds:
        return f"{algorithm} works along a torch.nn.ModuleList of blocks, and the module has none: use rtn"
    if algorithm == "awq" and inputs > 1:
        return f"awq traces models of one input, and this one has {inputs}: use rtn or gptq"
    return None


def quantize_weights(
    module: torch.nn.Module,
    algorithm: Algorithm,
    form: WeightFormat,
    example: torch.Tensor,
    run: Callable[[torch.nn.Module], None],
) -> Mapping[str, str]:
    """Replace the linear layers of ``module`` in place by ``BlockLinear``; return those left alone, and why.

    ``run`` feeds calibration samples to the module that it is given; ``rtn`` needs none.
    """
    from neural_compressor.torch.algorithms.weight_only.modules import INCWeightOnlyLinear
    from neural_compressor.torch.quantization import quantize

    linear = _linear(module)
    biases = {name: layer.bias for name, layer in linear.items()}
    with tempfile.TemporaryDirectory() as nowhere:
        config = _config(algorithm, form, nowhere)
        odd = {name: layer.in_features for name, layer in linear.items() if layer.in_features % form.block}
        for name in odd:
            config.set_local(f"{re.escape(name)}$", _config(algorithm, form, nowhere, dtype="fp32"))
        done = quantize(module, config, run_fn=None if algorithm == "rtn" else run, example_inputs=example)
    for name, layer in list(done.named_modules()):
        if isinstance(layer, INCWeightOnlyLinear):
            bias = biases.get(name.removesuffix(".linear"), biases.get(name))  # AWQ wraps a layer that it scales
            done.set_submodule(name, _unpacked(layer, form, bias))
    left = {name: f"its {size} inputs are no multiple of the block of {form.block}" for name, size in odd.items()}
    passed_over = dict.fromkeys(_linear(done), f"{algorithm} passed it over")
    return {name.removeprefix("model."): reason for name, reason in (passed_over | left).items()}


def count_weights(module: torch.nn.Module) -> int:
    """Return how many layers are kept as integers."""
    from mlopt.compress.quantization.torch_blocks import BlockLinear

    return sum(isinstance(layer, BlockLinear) for layer in module.modules())


def store_as_int4(graph: ir.Model) -> None:
    """Give integers in blocks the type INT4 in place; PyTorch, which has none, exports them as INT8."""
    import ml_dtypes
    import onnx_ir as ir

    for node in graph.graph:
        if node.op_type == "DequantizeLinear" and "block_size" in node.attributes:
            for value in (node.inputs[0], *node.inputs[2:]):
                if value is not None and value.const_value is not None and value.dtype == ir.DataType.INT8:
                    value.const_value = ir.tensor(value.const_value.numpy().astype(ml_dtypes.int4), name=value.name)
                    value.dtype = ir.DataType.INT4


def _linear(module: torch.nn.Module) -> dict[str, Any]:
    import torch

    return {name: layer for name, layer in module.named_modules() if type(layer) is torch.nn.Linear}


def _config(algorithm: Algorithm, form: WeightFormat, folder: str, dtype: str = "int") -> Any:
    from neural_compressor.torch.quantization import AWQConfig, GPTQConfig, RTNConfig

    common = {"dtype": dtype, "bits": form.bits, "group_size": form.block, "use_sym": form.symmetric}
    if algorithm == "gptq":  # an empty model_path would be looked up on a hub
        return GPTQConfig(**common, model_path=folder)
    return AWQConfig(**common) if algorithm == "awq" else RTNConfig(**common)


def _unpacked(layer: Any, form: WeightFormat, bias: torch.Tensor | None) -> BlockLinear:
    """Take integers, scales and zero points out of neural-compressor's packed layer."""
    import torch

    from mlopt.compress.quantization.torch_blocks import BlockLinear

    found, middle = layer.unpack(), 1 << (form.bits - 1)
    integers = _signed(found["int_weight"], form.bits, middle)
    zeros = _signed(found["zp"], form.bits, middle)
    return BlockLinear(
        integers, found["scales"].T.float().contiguous(), zeros if torch.any(zeros) else None,
        _bias(found["bias"], bias), form.block,
    )  # fmt: skip


def _signed(values: torch.Tensor, bits: int, middle: int) -> torch.Tensor:
    """Return [outputs, inputs] of ``bits`` unsigned bits as int8 [inputs, outputs] around zero."""
    import torch

    unsigned = values.to(torch.int32) & ((1 << bits) - 1)
    return (unsigned - middle).to(torch.int8).T.contiguous()


def _bias(packed: torch.Tensor | None, original: torch.Tensor | None) -> torch.Tensor | None:
    """Return the bias; neural-compressor keeps it in half precision, and AWQ may have scaled it."""
    import torch

    if packed is None or original is None:
        return None
    same = torch.equal(packed.float(), original.to(packed.dtype).float())
    return original.detach().clone() if same else packed.float()
