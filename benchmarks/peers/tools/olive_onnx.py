"""Olive's passes for a CPU with their defaults, in an environment of their own.

python olive_onnx.py dynamic|static|graph|transformer MODEL SAMPLES.npz OUT.onnx

The first two are its INT8, the others what it does to a graph in FP32.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import samples
from olive.data.component.dataset import BaseDataset
from olive.data.config import DataComponentConfig, DataConfig
from olive.data.registry import Registry
from olive.model import ONNXModelHandler
from olive.passes.olive_pass import create_pass_from_dict
from olive.passes.onnx.peephole_optimizer import OnnxPeepholeOptimizer
from olive.passes.onnx.quantization import OnnxDynamicQuantization, OnnxStaticQuantization
from olive.passes.onnx.transformer_optimization import OrtTransformersOptimization

READ = "whole_samples"


# written by a user: from here, static
@Registry.register_dataset(READ)  # type: ignore[untyped-decorator]
def whole_samples(path: str, **_: Any) -> BaseDataset:
    """Give Olive the samples under a name that its configuration can hold."""
    return BaseDataset(samples.read(path))


# to here


def main() -> None:
    """Optimize as the command line says."""
    how, model, data, out = sys.argv[1:]
    steps: list[tuple[Any, dict[str, Any]]]
    if how == "static":
        # written by a user: from here, static
        steps = [(OnnxStaticQuantization, {"data_config": calibration(data)})]
        # to here
    elif how == "dynamic":
        # written by a user: from here, dynamic
        steps = [(OnnxDynamicQuantization, {})]
        # to here
    else:
        # written by a user: from here, graph
        steps = [(OnnxPeepholeOptimizer, {})]
        if how == "transformer":
            steps.append((OrtTransformersOptimization, {"model_type": "bert"}))
        # to here
    # written by a user: from here
    made = ONNXModelHandler(model)
    for number, (kind, config) in enumerate(steps):
        step = create_pass_from_dict(kind, config, disable_search=True)
        made = step.run(made, str(Path(out).with_suffix(f".{number}")))
    # to here
    Path(made.model_path).rename(out)


def calibration(path: str) -> DataConfig:
    """Describe the samples to Olive: each is a whole input already, so nothing is batched."""
    # written by a user: from here, static
    return DataConfig(
        name="calibration",
        load_dataset_config=DataComponentConfig(type=READ, params={"path": path}),
        dataloader_config=DataComponentConfig(type="no_auto_batch_dataloader"),
    )
    # to here


if __name__ == "__main__":
    main()
