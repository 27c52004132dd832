"""Olive's passes for INT8 with their defaults, in an environment of their own.

python olive_onnx.py dynamic|static MODEL SAMPLES.npz OUT.onnx
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
from olive.passes.onnx.quantization import OnnxDynamicQuantization, OnnxStaticQuantization

READ = "whole_samples"


@Registry.register_dataset(READ)  # type: ignore[untyped-decorator]
def whole_samples(path: str, **_: Any) -> BaseDataset:
    """Give Olive the samples under a name that its configuration can hold."""
    return BaseDataset(samples.read(path))


def main() -> None:
    """Quantize as the command line says."""
    how, model, data, out = sys.argv[1:]
    kind = OnnxStaticQuantization if how == "static" else OnnxDynamicQuantization
    config = {"data_config": calibration(data)} if how == "static" else {}
    step = create_pass_from_dict(kind, config, disable_search=True)
    made = step.run(ONNXModelHandler(model), str(Path(out).with_suffix("")))
    Path(made.model_path).rename(out)


def calibration(path: str) -> DataConfig:
    """Describe the samples to Olive: each is a whole input already, so nothing is batched."""
    return DataConfig(
        name="calibration",
        load_dataset_config=DataComponentConfig(type=READ, params={"path": path}),
        dataloader_config=DataComponentConfig(type="no_auto_batch_dataloader"),
    )


if __name__ == "__main__":
    main()
