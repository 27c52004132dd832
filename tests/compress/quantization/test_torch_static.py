"""Static INT8 of a traced PyTorch program: dynamic sizes, bits, weights as integers, and the search over settings."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")
pytest.importorskip("neural_compressor", reason="needs the extra mlopt[quant]")

from mlopt.compress.quantization.observe import quiet  # noqa: E402
from mlopt.compress.quantization.torch_static import count_weights, quantize_static, search, trace  # noqa: E402
from mlopt.formats.model import TensorSpec  # noqa: E402
from mlopt.formats.torch.module import Flat  # noqa: E402

pytestmark = [pytest.mark.process, pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

ROWS = (TensorSpec("rows", "float32", ("batch size", 8)),)


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 16), torch.nn.Linear(16, 4)

    def forward(self, rows: Any) -> Any:
        return self.second(torch.relu(self.first(rows)))


def traced() -> tuple[Any, Any, Any]:
    """Return the module, its graph and samples."""
    torch.manual_seed(0)
    module, rows = Flat(Net().eval(), 1, ()), torch.randn(24, 8)
    return module, trace(module, ROWS, (rows[:3],)), rows


def integers(graph: Any) -> list[Any]:
    return [each for _, each in graph.named_buffers() if each.dtype == torch.int8 and each.ndim == 2]


@pytest.mark.parametrize(("seven_bits", "largest"), [(True, 64), (False, 128)])
def test_every_weight_becomes_integers_of_so_many_bits(seven_bits: bool, largest: int) -> None:
    module, graph, rows = traced()
    expected = module(rows)[0]
    with torch.no_grad(), quiet():
        done = quantize_static(graph, lambda each: each(rows), seven_bits=seven_bits)
        got = done(rows)[0]
    assert (count_weights(done), count_weights(traced()[1])) == (2, 0)
    found = max(int(each.to(torch.int32).abs().max()) for each in integers(done))
    assert largest // 2 < found <= largest
    assert float(torch.cosine_similarity(got.flatten(), expected.flatten(), 0)) > 0.99


def test_a_free_size_stays_free_whatever_it_is_called() -> None:
    module, graph, rows = traced()
    for size in (1, 2, 7):
        torch.testing.assert_close(graph(rows[:size])[0], module(rows[:size])[0])


@pytest.mark.parametrize(("scores", "tried"), [([0.9, 0.96], 2), ([0.96], 1), ([0.5, 0.7, 0.6, 0.4], 4)])
def test_the_search_ends_with_the_first_setting_that_is_close_enough(scores: list[float], tried: int) -> None:
    _, graph, rows = traced()
    given = iter([1.0, *scores])
    with torch.no_grad(), quiet():
        done, trials = search(graph, lambda each: each(rows), lambda _: next(given), 0.95, seven_bits=False)
    assert [(trial.ranges, trial.symmetric) for trial in trials] == [
        ("minmax", False), ("kl", False), ("minmax", True), ("kl", True),
    ][:tried]  # fmt: skip
    assert [trial.cosine for trial in trials] == scores
    assert count_weights(done) == 2
