"""A linear layer of small integers: what it computes, what other modules read of it, and what is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pass_runs import outputs_of

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

from mlopt.compress.quantization.torch_blocks import BlockLinear  # noqa: E402


def test_a_block_linear_is_a_linear_layer_of_its_own_weight() -> None:
    integers, scales = torch.randint(-8, 8, (32, 4), dtype=torch.int8), torch.rand(2, 4)
    layer = BlockLinear(integers, scales, torch.ones(2, 4, dtype=torch.int8), torch.rand(4), 16)
    x = torch.randn(3, 32)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert float(layer.weight[1, 17]) == pytest.approx(float((integers[17, 1] - 1) * scales[1, 1]))


def layer(*, zeros: bool, bias: bool) -> Any:
    torch.manual_seed(0)
    return BlockLinear(
        torch.randint(-8, 8, (32, 4), dtype=torch.int8), torch.rand(2, 4),
        torch.randint(-2, 3, (2, 4), dtype=torch.int8) if zeros else None, torch.rand(4) if bias else None, 16,
    )  # fmt: skip


@pytest.mark.parametrize("zeros", [True, False])
def test_all_that_it_computes_with_is_in_its_state(zeros: bool) -> None:
    """A module is kept as its state: a scale that is no buffer would be lost."""
    block = layer(zeros=zeros, bias=True)
    names = {"integers", "scales", "bias"} | ({"zeros"} if zeros else set())
    assert set(block.state_dict()) == names
    assert (block.in_features, block.out_features, tuple(block.weight.shape)) == (32, 4, (4, 32))


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
@pytest.mark.parametrize(("zeros", "bias"), [(True, True), (False, False)])
def test_it_is_exported_as_integers_that_are_dequantized_in_blocks(zeros: bool, bias: bool, tmp_path: Any) -> None:
    import onnx

    block, x = layer(zeros=zeros, bias=bias).eval(), torch.randn(3, 32)
    torch.onnx.export(block, (x,), tmp_path / "m.onnx", dynamo=True, opset_version=21, verbose=False)
    nodes = [node for node in onnx.load(tmp_path / "m.onnx").graph.node if node.op_type == "DequantizeLinear"]
    assert [len(list(filter(None, node.input))) for node in nodes] == [3 if zeros else 2]
    assert {a.name: a.i for a in nodes[0].attribute}.items() >= {"axis": 0, "block_size": 16}.items()
    (got,) = outputs_of(tmp_path / "m.onnx", {"x": x.numpy()}).values()  # not fused: that would round x, too
    np.testing.assert_allclose(got, block(x).numpy(), rtol=1e-4, atol=1e-4)
