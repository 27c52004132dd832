from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="what a module makes of values needs the extra mlopt[torch]")


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (lambda x: x * 2 + x[:, torch.tensor([0, 1])], set()),
        (lambda x: x[x > 0], {"index"}),
        (lambda x: x.nonzero(), {"nonzero"}),
        (lambda x: x[:, : int(x.max())], {"_local_scalar_dense"}),
        (lambda x: x.unique(), {"_unique2"}),
        (lambda x: torch.repeat_interleave(x, x[0].long(), dim=1), {"repeat_interleave"}),
    ],
)
def test_operators_that_take_sizes_from_values_are_found(forward: Callable[..., Any], found: set[str]) -> None:
    from mlopt.formats.torch.module import Flat
    from mlopt.passes.exporting.value_witness import sizes_from_values

    class Net(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return forward(x)

    got = sizes_from_values(Flat(Net(), 1, ()), [np.array([[1, 2, 3]], np.float32)])
    assert found <= got
    assert bool(found) == bool(got)


def test_witnesses_are_shorter_and_stay_in_range() -> None:
    from mlopt.passes.exporting.value_witness import shorter

    ids, lengths, mask = np.array([[5, 4, 1, 9]]), np.array([4]), np.ones((1, 4), bool)
    parts, floats = np.array([1.0], np.float32), np.ones((1, 4), np.float32)
    halved, zeros, ones = shorter([ids, lengths, mask, parts, floats])
    assert [array.tolist() for array in halved] == [[[3, 2, 1, 5]], [2], [[True] * 4], [0.5], [[1.0] * 4]]
    assert [array.tolist() for array in zeros[:3]] == [[[5, 4, 0, 0]], [4], [[True, True, False, False]]]
    assert zeros[4].tolist() == [[1, 1, 0, 0]]
    assert ones[0].tolist() == [[5, 4, 1, 1]]
    assert ones[4] is floats
    assert all(a.dtype == b.dtype for a, b in zip(halved, [ids, lengths, mask, parts, floats], strict=True))
