"""How a training went: figures of each epoch, for the report, and a line for whoever waits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    number: int
    """The first is 1."""
    loss: float
    """The mean over its steps."""
    held_out: float | None
    """The mean loss of the samples that are held out, after it."""
    score: float | None
    """The share of those that the model names rightly, 0 to 1."""
    learning_rate: float
    """Of its last step."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """What a training came to; the weights are in the module."""

    epochs: tuple[Epoch, ...]
    steps: int
    stopped: str
    """Why it ended: ``epochs``, ``time`` or ``patience``."""
    best: int | None
    """The number of the epoch whose weights were taken; None: those of the last."""
    resumed_at: int | None
    """The step at which it went on after it was interrupted."""
    seconds: float
    """Of all that this process did."""

    def notes(self) -> dict[str, Any]:
        """Return it as JSON for the report, of the shape that ``mlopt.report.training`` reads."""
        return {**asdict(self), "epochs": [each.as_dict() for each in self.epochs]}


def line(at: tuple[int, int], loss: float, last: Epoch | None, pace: float) -> str:
    """Say how far a training is: ``at`` which epoch of how many, ``pace`` in samples a second."""
    said = [f"epoch {at[0]} of {at[1]}", f"loss {loss:.4g}"]
    if last is not None and last.held_out is not None:
        said.append(f"held out {last.held_out:.4g}")
    if last is not None and last.score is not None:
        said.append(f"{last.score:.1%} right")
    return ", ".join([*said, f"{pace:,.0f} samples/s"])
