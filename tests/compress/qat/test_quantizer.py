"""Which tensors are rounded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("torchao", reason="needs the extra mlopt[qat]")
from rounding_models import traced

from mlopt.compress.qat.quantizer import IntegerQuantizer, batch_norms, folded_norm
from mlopt.compress.qat.settings import FakeQuantization

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


def rounded(module: nn.Module, example: torch.Tensor) -> tuple[list[str], list[str]]:
    """Return the nodes whose results are rounded, and those whose operands are, by operator."""
    graph = traced(module.eval(), example)
    IntegerQuantizer(FakeQuantization()).annotate(graph)
    notes = [
        (str(node.target).split(".")[1], node.meta["quantization_annotation"])
        for node in graph.graph.nodes
        if "quantization_annotation" in node.meta
    ]
    results = [name for name, note in notes if note.output_qspec is not None]
    return results, [name for name, note in notes if note.input_qspec_map]


class Sums(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """Two convolutions that are added, multiplied with a number, pooled, and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, image: torch.Tensor) -> Any:
        """Return [batch, 8, 2, 2] for [batch, 3, 4, 4]."""
        left = self.left(image)
        both = torch.relu(left + self.right(image))
        return torch.cat([nn.functional.max_pool2d(each, 2) for each in (both, 0.5 * left)], 1)


def test_between_convolutions_all_that_has_kernels_is_rounded() -> None:
    results, operands = rounded(Sums(), torch.randn(2, 3, 4, 4))
    assert results == ["conv2d", "conv2d", "relu", "max_pool2d"]  # a sum as its activation; no product with a number
    assert operands == ["conv2d", "conv2d", "add", "max_pool2d"]


def test_a_batch_norm_and_its_activation_belong_to_the_convolution() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6(), nn.Flatten(), nn.Linear(64, 2))
    assert rounded(net, torch.randn(2, 3, 4, 4)) == (["hardtanh", "flatten"], ["conv2d", "flatten", "linear"])


def test_without_convolutions_results_stay_as_they_are() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
    assert rounded(net, torch.randn(2, 3)) == ([], ["linear", "linear"])


def test_only_parameters_in_float32_are_weights() -> None:
    class Computed(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight.exp())

    assert rounded(Computed(), torch.randn(2, 3)) == ([], [])
    assert rounded(nn.Linear(3, 4).double(), torch.randn(2, 3).double()) == ([], [])


@pytest.mark.parametrize(("affine", "folds"), [(True, True), (False, False)])
def test_torchao_folds_batch_norms_with_factors_of_their_own(affine: bool, folds: bool) -> None:
    graph = traced(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=affine)).eval(), torch.randn(2, 3, 4, 4))
    (norm,) = batch_norms(graph)
    assert (folded_norm(norm.args[0]) is norm) is folds
