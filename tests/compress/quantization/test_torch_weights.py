"""Weight-only quantization, before any export: each algorithm on a small stack of blocks."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")
pytest.importorskip("neural_compressor", reason="needs the extra mlopt[quant]")

from mlopt.compress.quantization.observe import quiet  # noqa: E402
from mlopt.compress.quantization.torch_blocks import BlockLinear  # noqa: E402
from mlopt.compress.quantization.torch_weights import WeightFormat, obstacle, quantize_weights  # noqa: E402

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy


class Block(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up = torch.nn.LayerNorm(32), torch.nn.Linear(32, 64)
        self.down = torch.nn.Linear(64, 32, bias=False)

    def forward(self, x: Any) -> Any:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Stack(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.head = torch.nn.ModuleList(Block() for _ in range(2)), torch.nn.Linear(32, 5)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.mark.filterwarnings("ignore")  # deprecations between neural-compressor and PyTorch
@pytest.mark.parametrize("algorithm", ["rtn", "gptq", "awq"])
@pytest.mark.parametrize(("bits", "symmetric", "least"), [(4, True, 0.99), (8, False, 0.9999)])
@pytest.mark.process
def test_every_algorithm_that_is_offered_keeps_the_outputs(
    algorithm: Any, bits: int, symmetric: bool, least: float
) -> None:
    torch.manual_seed(0)
    module, x = Stack().eval(), torch.randn(16, 32)
    with torch.no_grad(), quiet():
        before = module(x)
        left = quantize_weights(
            module,
            algorithm,
            WeightFormat(bits, 32, symmetric),
            x[:4],
            lambda each: [each(part) for part in x.split(4)],
        )
        after = module(x)
    blocks = [layer for layer in module.modules() if isinstance(layer, BlockLinear)]
    assert len(blocks) == 5 - len(left)
    assert left == ({"head": "gptq passed it over"} if algorithm == "gptq" else {})
    assert least < float(torch.cosine_similarity(before.flatten(), after.flatten(), 0)) < 1
    limit = 1 << (bits - 1)
    assert all(-limit <= int(block.integers.min()) and int(block.integers.max()) < limit for block in blocks)
    assert any(block.zeros is not None for block in blocks) is not symmetric


def test_awq_takes_models_of_one_input() -> None:
    assert obstacle(Stack(), "awq", 1) is None
    assert obstacle(Stack(), "awq", 2) == "awq traces models of one input, and this one has 2: use rtn or gptq"
