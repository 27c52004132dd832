"""Which loss a training that learns from another model takes, where its keys leave that open.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mlopt.compress.train.objectives import check_classes

if TYPE_CHECKING:
    from mlopt.compress.distill.objective import Loss
    from mlopt.formats.torch.module import Flat
    from mlopt.passes.training.task import TrainingTask


def settled(loss: str, alpha: float, task: TrainingTask, student: Flat) -> Loss:
    """Return which one; raises ``DataError`` for labels that are no classes of the student, if they take part."""
    labels, outputs = task.loader.data.labels, task.outputs(student)
    classes: Any = labels is not None and labels.dtype.kind in "iub" and outputs[0].ndim == labels.ndim + 1
    of_classes = classes or task.context.budget.metric in {"accuracy", "agreement"}
    found = ("kd" if of_classes else "embedding") if loss == "auto" else loss
    if found != "embedding" and labels is not None and alpha < 1:
        check_classes(outputs, labels, task.loader.data.source, some=True)
    return cast("Loss", found)
