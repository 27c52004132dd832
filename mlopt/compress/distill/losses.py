"""The losses of distillation, each a function of tensors: what papers write down, and no more.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def kd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T² · KL(teacher ‖ student) of softened classes, the mean over samples (Hinton et al., 2015).

    Logits are [samples, classes, ...]; further axes count as samples. T² keeps the gradients as large as without T.
    """
    ours, theirs = (_rows(each) / temperature for each in (student, teacher))
    divergence = functional.kl_div(
        functional.log_softmax(ours, 1), functional.log_softmax(theirs, 1), reduction="batchmean", log_target=True
    )
    return temperature**2 * divergence


def dkd(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, beta: float) -> Tensor:
    """Return decoupled distillation (Zhao et al., 2022): of the right class, and ``beta`` times of the others.

    Logits are [samples, classes], labels [samples]; the mean over samples, times T².
    """
    ours, theirs = (_rows(each) / temperature for each in (student, teacher))
    right = functional.one_hot(labels.long(), ours.shape[1]).bool()
    of_right = _two_way(ours, theirs, right)
    rest_ours, rest_theirs = (each.masked_select(~right).reshape(len(each), -1) for each in (ours, theirs))
    of_rest = functional.kl_div(
        functional.log_softmax(rest_ours, 1), functional.log_softmax(rest_theirs, 1), reduction="batchmean",
        log_target=True,
    )  # fmt: skip
    return temperature**2 * (of_right + beta * of_rest)


def embedding(student: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 - cosine, plus the squared error, of vectors along the last axis; the mean over all others."""
    distance = 1 - functional.cosine_similarity(student.float(), teacher.float(), dim=-1).mean()
    return distance + functional.mse_loss(student.float(), teacher.float())


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Return attention transfer (Zagoruyko and Komodakis, 2017) of feature maps [samples, channels, ...].

    The maps are the squares, summed over channels, of length 1; the mean over samples of their squared distance.
    Channels may differ; the other sizes may not.
    """
    ours, theirs = (functional.normalize(each.float().pow(2).mean(1).flatten(1), dim=1) for each in (student, teacher))
    return (ours - theirs).pow(2).sum(1).mean()


def _two_way(ours: Tensor, theirs: Tensor, right: Tensor) -> Tensor:
    """Return the divergence of "the right class" against "another", the mean over samples."""
    pairs = []
    for logits in (ours, theirs):
        logs = functional.log_softmax(logits, 1)
        hit = logs.masked_select(right)
        miss = torch.logsumexp(logs.masked_fill(right, float("-inf")), 1)
        pairs.append(torch.stack([hit, miss], 1))
    return functional.kl_div(pairs[0], pairs[1], reduction="batchmean", log_target=True)


def _rows(logits: Tensor) -> Tensor:
    """Return logits of whatever axes as [samples, classes], in float32."""
    return logits.float().movedim(1, -1).flatten(0, -2)
