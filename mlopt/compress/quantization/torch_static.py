"""Static INT8 of a PyTorch program (PT2E) by neural-compressor, one setting or a search over its settings.

The program is traced once, its observers see calibration samples, and what comes out has Q/DQ pairs that the ONNX
exporter knows. Weights are INT8 with one scale per output channel, activations UINT8 with one scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.model import import_torch

if TYPE_CHECKING:
    import torch

Run = Callable[["torch.nn.Module"], None]
Score = Callable[["torch.nn.Module"], float]


@dataclass(frozen=True)
class Trial:
    """One setting that the search tried: how activation ranges follow from the samples, and how close it came."""

    ranges: str
    symmetric: bool
    cosine: float


def trace(
    module: torch.nn.Module, specs: Sequence[TensorSpec], examples: tuple[torch.Tensor, ...]
) -> torch.fx.GraphModule:
    """Return the module as a graph; raises what ``torch.export`` raises where it branches on values or sizes."""
    torch = import_torch()
    names = dict.fromkeys(str(spec.shape[axis]) for spec in specs for axis in spec.dynamic_axes)
    sizes = {name: torch.export.Dim(name if name.isidentifier() else f"size_{n}") for n, name in enumerate(names)}
    shapes = tuple({axis: sizes[str(spec.shape[axis])] for axis in spec.dynamic_axes} for spec in specs)
    with torch.no_grad():
        graph = torch.export.export(module, examples, dynamic_shapes={"tensors": shapes}).module()
    # neural-compressor knows a traced graph by these two; its own export() would keep the reason of a failure to itself
    graph._exported, graph.dynamic_shapes = True, None
    return graph


def quantize_static(graph: torch.fx.GraphModule, run: Run, *, seven_bits: bool) -> torch.fx.GraphModule:
    """Return the graph in static INT8; ``run`` feeds it the calibration samples."""
    from neural_compressor.torch.quantization import StaticQuantConfig, quantize

    return _folded(quantize(graph, StaticQuantConfig(), run_fn=_narrowed(run) if seven_bits else run))


def search(
    graph: torch.fx.GraphModule, run: Run, score: Score, least: float, *, seven_bits: bool
) -> tuple[torch.fx.GraphModule, list[Trial]]:
    """Try settings until one scores ``least`` (of 1); return the best graph and every trial, in order."""
    from neural_compressor.torch.quantization import StaticQuantConfig, TuningConfig, autotune

    settings = [(ranges, symmetric) for symmetric in (False, True) for ranges in ("minmax", "kl")]
    configs = [StaticQuantConfig(act_algo=ranges, act_sym=symmetric) for ranges, symmetric in settings]
    scores: list[float] = []

    def judged(candidate: torch.nn.Module) -> float:
        scores.append(score(candidate))
        return scores[-1]

    tuning = TuningConfig(config_set=configs, tolerable_loss=1 - least, max_trials=len(configs))
    best = autotune(graph, tuning, eval_fn=judged, run_fn=_narrowed(run) if seven_bits else run)
    tried = zip(settings, scores[1:], strict=False)  # the first score is the unquantized graph's
    return _folded(best), [Trial(ranges, symmetric, value) for (ranges, symmetric), value in tried]


def count_weights(graph: torch.fx.GraphModule) -> int:
    """Return how many weights are kept as integers."""
    dequantize = import_torch().ops.quantized_decomposed.dequantize_per_channel.default  # activations are per tensor
    return len({node.args[0] for node in graph.graph.nodes if node.target is dequantize})


def _narrowed(run: Run) -> Run:
    """Before calibration, keep weights to 7 bits, so that a 16-bit accumulator cannot saturate."""
    from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver

    def calibrate(prepared: torch.nn.Module) -> None:
        for observer in prepared.modules():
            if isinstance(observer, PerChannelMinMaxObserver):
                observer.quant_min, observer.quant_max = -64, 63
        run(prepared)

    return calibrate


def _folded(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Turn weights with a quantizer behind them into integers; neural-compressor leaves them in FP32."""
    torch = import_torch()
    from torchao.quantization.pt2e.constant_fold import constant_fold

    operators = torch.ops.quantized_decomposed
    quantizers = {operators.quantize_per_channel.default, operators.quantize_per_tensor.default}

    def to_fold(node: Any) -> bool:
        return node.op == "call_function" and node.target in quantizers

    constant_fold(graph, to_fold)
    return graph
