from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.torch.advice import GRADIENTS, known_fix

torch = pytest.importorskip("torch", reason="what PyTorch says needs the extra mlopt[torch]")


@pytest.mark.parametrize(
    ("forward", "fix"),
    [
        (torch.nn.BatchNorm1d(3, track_running_stats=False), "build it with track_running_stats=True"),
        (lambda x: torch.nn.InstanceNorm1d(3)(x[..., None]), "declare larger sizes in model.inputs"),
        (lambda x: torch.autograd.grad((x * 2).sum(), x), GRADIENTS),
        (lambda x: x.requires_grad_(True).sum().backward(), GRADIENTS),
    ],
)
def test_what_pytorch_says_has_its_fix(forward: Callable[[Any], Any], fix: str) -> None:
    from mlopt.formats.torch.model import foreign_code

    with pytest.raises(ModelError) as raised, torch.inference_mode(), foreign_code("forward() failed", "net.py"):
        forward(torch.ones(1, 3))
    assert fix in str(raised.value.problems[0].fix)


def test_what_is_not_known_has_no_fix() -> None:
    assert known_fix("mat1 and mat2 shapes cannot be multiplied") is None
