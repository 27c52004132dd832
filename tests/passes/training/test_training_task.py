"""A training as a recipe asks for it: whose loss, which samples, and where it goes on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pass_runs import PLAIN_X86, fresh
from prunable_models import CNN, IMAGE, built, samples

from mlopt.compress.train.objectives import Classification, Own
from mlopt.compress.train.settings import Training
from mlopt.core.errors import DataError, PassError
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Samples, store
from mlopt.formats.torch.model import load_module
from mlopt.passes.base import Context
from mlopt.passes.training.task import TrainingTask, examples

pytestmark = pytest.mark.heavy

STEP = """
import torch
def step(module, batch):
    return torch.nn.functional.mse_loss(module(batch["image"]).mean(1), batch["labels"].float())
def flipped(inputs):
    return {"image": inputs["image"].flip(-1)}
"""


def task(folder: Path, **settings: Any) -> TrainingTask:
    model = built(folder / "model", CNN, IMAGE)
    (folder / "own.py").write_text(STEP)
    context = Context(
        out=fresh(folder, "out"), target=Target(threads=1), objective=Objective.LATENCY, hardware=PLAIN_X86,
        train=samples(folder / "train", IMAGE), samples=samples(folder / "few", IMAGE, 8), inputs=IMAGE, base=folder,
        unfinished=folder / "unfinished",
    )  # fmt: skip
    return TrainingTask.of(model, context, Training(**{"epochs": 1, "batch_size": 8, **settings}))


def test_labels_of_classes_are_learnt_by_cross_entropy_and_else_the_recipe_says_how(tmp_path: Path) -> None:
    module = load_module(task(tmp_path).model)
    assert isinstance(task(tmp_path / "a").objective(module), Classification)
    own = task(tmp_path / "b", step="./own.py:step").objective(module)
    assert isinstance(own, Own)
    assert own.where.endswith("own.py:step")


def test_it_trains_by_the_recipe_s_own_step_on_changed_samples(tmp_path: Path) -> None:
    one = task(tmp_path, step="./own.py:step", augment="./own.py:flipped", epochs=3)
    module = load_module(one.model)
    found = one.trained(module, one.objective(module), "train")
    assert found.epochs[-1].loss < found.epochs[0].loss
    assert found.epochs[0].score is None
    assert (tmp_path / "unfinished/train.ckpt").exists()


def test_threads_are_those_of_the_target_unless_the_recipe_says(tmp_path: Path) -> None:
    assert task(tmp_path).settings.threads == 1
    assert task(tmp_path / "a", threads=3).settings.threads == 3


def test_gradients_of_batches_come_one_by_one(tmp_path: Path) -> None:
    one = task(tmp_path)
    module = load_module(one.model)
    seen = [module.model.second.weight.grad.clone() for _ in one.gradients(one.objective, 3)(module)]
    assert len(seen) == 3
    assert not torch.equal(seen[0], seen[1])


def test_what_was_made_before_a_run_was_killed_is_loaded(tmp_path: Path) -> None:
    one = task(tmp_path)
    first, _ = one.kept("half", lambda: (load_module(one.model), {"ratio": 0.5}))

    def never() -> Any:
        raise AssertionError("it is there")

    again, notes = one.kept("half", never)
    assert notes == {"ratio": 0.5}
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())


def test_examples_are_real_samples(tmp_path: Path) -> None:
    one = task(tmp_path)
    (found,) = examples(one.model, one.context, 2)
    assert one.context.samples is not None
    assert torch.equal(found, torch.from_numpy(one.context.samples.inputs["image"][:2].copy()))


def test_without_data_that_is_told(tmp_path: Path) -> None:
    one = task(tmp_path)
    with pytest.raises(PassError, match="nothing to train on"):
        TrainingTask.of(one.model, Context(**{**vars(one.context), "train": None}), Training())


def test_labels_that_are_no_classes_are_told(tmp_path: Path) -> None:
    one = task(tmp_path)
    data = samples(tmp_path / "more", IMAGE)
    assert data.labels is not None
    wrong = store(Samples(dict(data.inputs), data.labels + 2), tmp_path / "wrong", "made")
    other = TrainingTask.of(one.model, Context(**{**vars(one.context), "train": wrong}), Training())
    with pytest.raises(DataError, match="is no class of the model"):
        other.objective(load_module(one.model))


@pytest.mark.parametrize(
    ("labels", "wanted", "found"),
    [(True, "auto", "kd"), (False, "auto", "embedding"), (True, "embedding", "embedding"), (False, "kd", "kd")],
)
def test_which_loss_a_teacher_gives_depends_on_labels(tmp_path: Path, labels: bool, wanted: str, found: str) -> None:
    with_labels = task(tmp_path)
    data = with_labels.loader.data
    if not labels:
        data = store(Samples(dict(data.inputs)), tmp_path / "unlabelled", "made")
    one = replace(with_labels, loader=replace(with_labels.loader, data=data))
    assert one.loss_from_teacher(wanted, 0.9, load_module(one.model)) == found


def test_what_is_to_be_done_before_and_after_each_step_is_done(tmp_path: Path) -> None:
    one, shares, steps = task(tmp_path, epochs=2, batch_size=8, threads=1), list[float](), list[int]()
    module = load_module(one.model)
    one.trained(module, one.objective(module), "own", lambda: steps.append(1), shares.append)
    assert shares == [number / len(steps) for number in range(len(steps))]
