"""What each layer bears, found by pruning it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prunable_models import EVERY, made
from torch import Tensor

from mlopt.compress.prune.sensitivity import Judge, Point, points
from mlopt.compress.prune.settings import Structure
from mlopt.compress.prune.structured import Pruner, cost
from mlopt.compress.train.batch import Batch
from mlopt.formats.torch.model import load_module
from mlopt.formats.torch.module import Flat

pytestmark = pytest.mark.heavy

pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")


def batches(inputs: Tensor, labels: Tensor | None = None) -> list[Batch]:
    several = (None, None) if labels is None else labels.split(4)
    return [Batch({"x": part}, each) for part, each in zip(inputs.split(4), several, strict=True)]


def found(model: Flat, fed: Tensor, ratios: tuple[float, ...], **how: object) -> list[Point]:
    pruner = Pruner(model, (fed[:2],), Structure(**how))  # type: ignore[arg-type]
    return list(points(pruner, ratios, Judge.of(model, batches(fed)), lambda _layer, _share: None))


@pytest.mark.parametrize("name", EVERY)
def test_each_group_is_pruned_alone_and_the_model_stays(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    fed = torch.randint(0, 50, (8, 12)) if name == "transformer" else torch.rand(8, 3, 16, 16)
    model = load_module(made(tmp_path, name))
    before, size = model(fed)[0], cost(model, (fed[:2],))
    every = found(model, fed, (0.25, 0.75))
    assert torch.equal(model(fed)[0], before)
    assert cost(model, (fed[:2],)) == size
    layers = {point.layer for point in every}
    assert len(every) == 2 * len(layers) >= 4
    assert all(0 <= point.score <= 1 and 0 < point.macs < 1 for point in every)
    by_layer = {layer: [point.macs for point in every if point.layer == layer] for layer in layers}
    assert all(more > less for more, less in by_layer.values()), by_layer


def test_a_layer_that_adds_nothing_bears_everything(tmp_path: Path) -> None:
    model = load_module(made(tmp_path, "cnn"))
    with torch.no_grad():
        for parameter in model.model.second.parameters():
            parameter.zero_()
    scores = {point.layer: point.score for point in found(model, torch.rand(8, 3, 16, 16), (0.5,))}
    assert scores["second"] == pytest.approx(1, abs=1e-6)
    assert scores["third"] < 0.95


def test_layers_that_shrink_together_are_one_and_those_that_are_kept_none(tmp_path: Path) -> None:
    model = load_module(made(tmp_path, "cnn"))
    every = found(model, torch.rand(8, 3, 16, 16), (0.5,), keep=("second",))
    (point,) = every
    assert {point.layer, *point.along} == {"first", "third"}


def test_a_share_of_its_own_and_a_rounding_do_not_change_what_is_asked(tmp_path: Path) -> None:
    model = load_module(made(tmp_path, "cnn"))
    pruner = Pruner(model, (torch.rand(2, 3, 16, 16),), Structure(ratios={"second": 0.9}, round_to=32))
    assert pruner.alone("second", 0.25).model.second.weight.shape[0] == 24


def answers(values: list[list[float]]) -> Flat:
    class Given(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor(values)[x.long().flatten()]

    return Flat(Given(), 1, ())


def judged(values: list[list[float]], now: list[list[float]], labels: Tensor | None) -> tuple[str, float]:
    rows = torch.arange(len(values)).float().reshape(-1, 1)
    judge = Judge.of(answers(values), [Batch({"x": rows}, labels)])
    return judge.measure, judge.score(answers(now))


def test_classes_are_scored_by_accuracy_and_samples_without_a_label_do_not_count() -> None:
    was, now = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    assert judged(was, now, torch.tensor([0, 1, 1])) == ("accuracy", pytest.approx(1 / 3))
    assert judged(was, now, torch.tensor([0, 1, -1])) == ("accuracy", 0.5)


@pytest.mark.parametrize("labels", [None, torch.tensor([0.5, 1.5]), torch.tensor([-1, -1]), torch.tensor([0, 7])])
def test_anything_else_is_scored_by_how_close_the_output_stays(labels: Tensor | None) -> None:
    was = [[3.0, 0.0], [0.0, 4.0]]
    assert judged(was, was, labels) == ("closeness", 1.0)
    assert judged(was, [[3.0, 0.0], [0.0, 1.0]], labels) == ("closeness", pytest.approx(1 - 3 / 5))
    assert judged(was, [[90.0, 0.0], [0.0, 4.0]], labels) == ("closeness", 0.0)
    assert judged([[0.0], [0.0]], [[0.0], [1.0]], labels) == ("closeness", 0.0)
