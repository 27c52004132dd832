"""Who a student learns from: a PyTorch module, or an ONNX file in ONNX Runtime. It only answers.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mlopt.compress.distill.features import watched
from mlopt.compress.train.batch import Batch
from mlopt.core.errors import ModelError
from mlopt.formats.torch.model import evaluating
from mlopt.formats.torch.module import Flat
from mlopt.runtimes.base import Deployable, Session
from mlopt.runtimes.table import open_session


@dataclass(frozen=True)
class Lesson:
    """What a teacher answers to a batch, and what the layers that are asked for return."""

    outputs: tuple[Tensor, ...]
    features: dict[str, Tensor]


class Teacher(Protocol):
    """Answers without learning."""

    def lesson(self, batch: Batch, layers: Sequence[str]) -> Lesson:
        """Return its answers to a batch."""
        ...


@dataclass(frozen=True)
class Module:
    """A PyTorch module as the teacher."""

    model: Flat
    where: str
    channels_last: bool = False
    """As of ``Training``."""

    def __post_init__(self) -> None:
        if self.channels_last:
            self.model.to(memory_format=torch.channels_last)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def lesson(self, batch: Batch, layers: Sequence[str]) -> Lesson:
        """Run it in evaluation."""
        evaluating(self.model.model)
        self.model.to(batch.tensors[0].device)
        with watched(self.model.model, layers, self.where) as seen:
            return Lesson(self.model(*batch.tensors), dict(seen))


@dataclass(frozen=True)
class Exported:
    """An open ONNX model as the teacher: its outputs alone are known."""

    session: Session

    def lesson(self, batch: Batch, layers: Sequence[str]) -> Lesson:
        """Run it on the CPU."""
        if layers:
            raise ModelError("of an ONNX teacher only the outputs are known", where="distill.features",
                             got=layers[0], fix="leave features out, or name a PyTorch teacher")  # fmt: skip
        found = self.session.run({name: value.cpu().numpy() for name, value in batch.inputs.items()})
        device = batch.tensors[0].device
        return Lesson(tuple(torch.from_numpy(value).to(device) for value in found.values()), {})


@contextmanager
def exported(deployable: Deployable) -> Iterator[Exported]:
    """Open a file as a teacher."""
    with open_session(deployable) as session:
        yield Exported(session)
