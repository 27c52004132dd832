"""How a model is trained: the keys of ``train`` in a recipe, as frozen data.

Also how large a step is at which time, which is pure arithmetic.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["float32", "bfloat16", "float16"]


class Training(BaseModel):
    """How to train."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(default=10, ge=1, le=100_000, description="how often each sample is learnt from")
    minutes: float | None = Field(
        default=None, gt=0, le=100_000, description="fewer epochs, as far as about so many minutes allow"
    )
    batch_size: int = Field(default=64, ge=1, le=1_000_000, description="samples in one step")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="AdamW, or SGD with Nesterov momentum")
    learning_rate: float = Field(default=1e-3, gt=0, le=1e3, description="the largest step size")
    weight_decay: float = Field(
        default=0.01, ge=0, le=10, description="of matrices and kernels; not of biases or norms"
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="how the step size goes down to 0 after the warm-up, or that it does not"
    )
    warm_up: float = Field(default=0.1, ge=0, lt=1, description="the share of the training in which it goes up from 0")
    clip_norm: float | None = Field(default=1.0, gt=0, description="the largest norm of all gradients; null: any")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="keep a moving average of the weights with this decay, such as 0.999"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="of cross-entropy")
    held_out: float = Field(
        default=0.1, ge=0, le=0.5, description="the share of data.train that is not learnt from, and tells how it goes"
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many epochs in which the held-out samples got no better, and "
        "take the weights of the best one"
    )  # fmt: skip
    precision: Precision = Field(default="float32", description="what products are computed in (autocast)")
    channels_last: bool = Field(
        default=False, description="lay pictures out as convolutions like it: faster, for a forward() without view()"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where there is one")
    threads: int | None = Field(default=None, ge=1, le=1024, description="of the CPU; absent: those of the target")
    seed: int = Field(default=0, ge=0, lt=2**32, description="for the order of the samples, dropout, and new weights")
    step: str | None = Field(
        default=None, pattern=r".+\.py:[A-Za-z_]\w*",
        description="./file.py:function that is called with the module and a batch (tensors by input name, and "
        "`labels`), and returns the loss; absent: cross-entropy for classes",
    )  # fmt: skip
    augment: str | None = Field(
        default=None, pattern=r".+\.py:[A-Za-z_]\w*",
        description="./file.py:function that is called with the inputs of a batch (tensors by name) and returns them "
        "changed: mirrored, moved, masked; it may draw from torch's random numbers",
    )  # fmt: skip

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.patience is not None and not self.held_out:
            raise ValueError("patience looks at held-out samples: give held_out a share, such as 0.1")
        return self

    @property
    def named(self) -> dict[str, str]:
        """The functions that it names, by key."""
        return {f"train.{key}": text for key in ("step", "augment") if (text := getattr(self, key)) is not None}

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the step size of one of ``steps`` steps, the first of which is 0."""
        warm = round(self.warm_up * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        left = 1 - (step - warm) / max(1, steps - warm)
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (left if self.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)
