"""What changes while a model learns: its weights, those of the objective, the optimizer, averages, the best yet.

All of it can be copied and put back, to the last bit. This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mlopt.compress.train import checkpoint
from mlopt.compress.train.objectives import TrainingObjective
from mlopt.compress.train.settings import Training
from mlopt.core.errors import PassError
from mlopt.formats.torch.module import Flat

Weights = dict[str, Tensor]


class Learner:
    """A model with an objective and what optimizes them, on one device."""

    def __init__(self, model: Flat, objective: TrainingObjective, settings: Training, device: torch.device) -> None:
        self.both = nn.ModuleDict({"model": model.model, "objective": objective}).to(device)
        self.device = device
        self._settings = settings
        self._optimizer = self._fresh_optimizer()
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "float16")
        self._average = _copied(self._weights()) if settings.ema is not None else None
        self._best: Weights | None = None

    @property
    def has_best(self) -> bool:
        """Whether some weights were kept as the best."""
        return self._best is not None

    @property
    def learning_rate(self) -> float:
        """That of the last step."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    def step(self, loss: Tensor, learning_rate: float) -> None:
        """Follow the gradient of a loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if self._settings.clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.both.parameters(), self._settings.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def average(self, steps: int) -> None:
        """Take the weights into their average after so many steps, the first of which are far from the end."""
        if self._average is None or self._settings.ema is None:
            return
        decay = min(self._settings.ema, (1 + steps) / (10 + steps))
        for name, value in self._weights().items():
            kept = self._average[name]
            if kept.is_floating_point():
                kept.lerp_(value, 1 - decay)
            else:
                kept.copy_(value)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Be what would be kept now, in evaluation, and leave the random numbers to the training."""
        own, drawn = (_copied(self._weights()) if self._average is not None else None), checkpoint.generators()
        self.both.eval()
        if self._average is not None:
            self._load(self._average)
        try:
            with torch.no_grad():
                yield
        finally:
            if own is not None:
                self._load(own)
            checkpoint.restore_generators(drawn)

    def keep_best(self) -> None:
        """Keep what would be kept now as the best."""
        self._best = _copied(self._average or self._weights())

    def take_best(self) -> None:
        """Be the best, if one was kept, or the average, if there is one."""
        if (kept := self._best or self._average) is not None:
            self._load(kept)

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of all that changes, the random generators included."""
        return {
            "both": _copied(self._weights()), "optimizer": _deep(self._optimizer.state_dict()),
            "scaler": self._scaler.state_dict(), "average": self._average and _copied(self._average),
            "best": self._best and _copied(self._best), "drawn": checkpoint.generators(),
        }  # fmt: skip

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as one was at a snapshot."""
        self._load(snapshot["both"])
        self._optimizer = self._fresh_optimizer()
        if snapshot["optimizer"]["state"]:
            self._optimizer.load_state_dict(snapshot["optimizer"])
        self._scaler.load_state_dict(snapshot["scaler"])
        self._average, self._best = (self._moved(snapshot[name]) for name in ("average", "best"))
        checkpoint.restore_generators(snapshot["drawn"])

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        settings = self._settings
        groups = parameter_groups(self.both, settings.weight_decay)
        if not any(group["params"] for group in groups):
            raise PassError("the model has no weights that can be trained", where="train",
                            fix="let build() leave requires_grad as it is")  # fmt: skip
        if settings.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=settings.learning_rate)
        return torch.optim.SGD(
            groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0
        )

    def _weights(self) -> Weights:
        """Return all tensors of the model and the objective by name: themselves, no copies."""
        return {name: value for name, value in self.both.state_dict().items() if isinstance(value, Tensor)}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _load(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self._weights().items():
            value.copy_(weights[name])

    def _moved(self, weights: Weights | None) -> Weights | None:
        return None if weights is None else {name: value.to(self.device) for name, value in weights.items()}


def parameter_groups(modules: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters in two groups: matrices and kernels, which decay, and all that has one axis or none."""
    every = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in every if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in every if each.ndim <= 1], "weight_decay": 0.0},
    ]


def _copied(weights: Mapping[str, Tensor]) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}


def _deep(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of an optimizer's state, whose tensors the next step would change."""
    kept = {
        number: {key: value.clone() if isinstance(value, Tensor) else value for key, value in each.items()}
        for number, each in state["state"].items()
    }
    return {"state": kept, "param_groups": [dict(group) for group in state["param_groups"]]}
