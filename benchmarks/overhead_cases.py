"""What `overhead.py` runs: recipes with fixed settings, and orders by which `overhead_direct.py` does the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS, ROUNDS = 1.5, 10
"""Of measuring, for each model: the recipe of mnist_cnn says so; more would make overhead look smaller."""
CHAIN = (
    "[{export: {opset: 20}}, simplify, "
    "{quantize: {mode: static, scheme: u8s8, calibration: minmax, bias_correction: false}}, fuse]"
)
GATES = "[{metric: fidelity.cosine, min: 0.5}, {metric: speedup.median, min: 0.01, vs: onnx_fp32}]"
"""What is decided after the first look, so that every run measures as much."""


@dataclass(frozen=True)
class Case:
    """A recipe, and what its own file says in other words."""

    inputs: Mapping[str, list[int | str]]
    outputs: list[str]
    metric: str
    batch_size: int
    convolutional: bool
    trains: bool = False
    limit: int | None = None

    def order(self, name: str) -> dict[str, Any]:
        """Return what the direct script is to do."""
        return {
            "recipe": str(ROOT / f"recipes/{name}.py"), "inputs": self.inputs, "outputs": self.outputs,
            "metric": self.metric, "batch_size": self.batch_size, "convolutional": self.convolutional,
            "trains": self.trains, "limit": self.limit, "threads": 2, "seconds": SECONDS, "rounds": ROUNDS,
        }  # fmt: skip


CASES = {
    "mnist_cnn": Case({"image": ["batch", 1, 28, 28]}, ["logits"], "accuracy", 8, True, trains=True, limit=256),
    "efficientnet_lite0": Case({"image": ["batch", 3, 224, 224]}, ["logits"], "agreement", 1, True),
    "minilm": Case(
        {"input_ids": ["batch", "sequence"], "attention_mask": ["batch", "sequence"]}, ["embedding"],
        "neighbours.py:neighbour_agreement", 1, False,
    ),
}  # fmt: skip


def overrides(chain: str = CHAIN) -> Iterator[str]:
    """Yield the words that fix a recipe's settings."""
    settings = {"passes": chain, "gates": GATES, "measure.seconds": SECONDS, "measure.rounds": ROUNDS}
    for key, value in settings.items():
        yield from ("--set", f"{key}={value}")


def write_order(order: Mapping[str, Any], folder: Path) -> Path:
    """Write an order to a file."""
    path = folder / "order.json"
    path.write_text(json.dumps(order), encoding="utf-8")
    return path
