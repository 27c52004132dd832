"""The training loop: it learns, it goes on exactly where it was killed, and it says what is wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import clouds, net, settings, trained, weights

from mlopt.compress.train import checkpoint, loop
from mlopt.compress.train.learner import Learner
from mlopt.compress.train.objectives import Classification, Own
from mlopt.core.errors import OutputError, PassError


class Killed(BaseException):
    pass


def killing(at: int) -> Any:
    """An ``after`` that ends the training after so many steps, as ``kill -9`` does: nothing runs any more."""
    steps = []

    def after() -> None:
        steps.append(1)
        if len(steps) == at:
            raise Killed

    return after


def test_it_learns(tmp_path: Path) -> None:
    _, found = trained(tmp_path, epochs=8)
    first, last = found.epochs[0], found.epochs[-1]
    assert last.loss < first.loss
    assert last.score is not None
    assert last.score > 0.9
    assert (found.steps, found.stopped, found.best, found.resumed_at) == (8 * 4, "epochs", None, None)
    assert [each.number for each in found.epochs] == list(range(1, 9))


def test_it_learns_in_bfloat16(tmp_path: Path) -> None:
    model, found = trained(tmp_path, epochs=8, precision="bfloat16")
    assert found.epochs[-1].loss < found.epochs[0].loss
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_it_learns_from_pictures_that_are_laid_out_by_channels(tmp_path: Path) -> None:
    laid_out: list[bool] = []

    def convolve(module: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        kernel = module.kernel
        laid_out.append(kernel.is_contiguous(memory_format=torch.channels_last))
        return torch.nn.functional.conv2d(batch["x"].reshape(-1, 2, 2, 1).expand(-1, 2, 2, 2), kernel).pow(2).mean()

    model = net()
    model.model.kernel = torch.nn.Parameter(torch.randn(3, 2, 2, 2))
    loop.train(model, Own(convolve, "here"), clouds(tmp_path), settings(channels_last=True))
    assert all(laid_out)
    assert model.model.kernel.is_contiguous()


def test_it_ends_in_evaluation_and_on_the_cpu(tmp_path: Path) -> None:
    model, _ = trained(tmp_path)
    assert not any(part.training for part in model.model.modules())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_the_same_again_is_the_same(tmp_path: Path) -> None:
    random.seed(1)
    first, _ = trained(tmp_path)
    random.seed(2)
    again, _ = trained(tmp_path)
    other, _ = trained(tmp_path, seed=1)
    assert weights(first) == weights(again) != weights(other)


@pytest.mark.parametrize("more", [
    {}, {"ema": 0.9}, {"patience": 2, "epochs": 4}, {"optimizer": "sgd", "schedule": "linear"}, {"held_out": 0.0},
])  # fmt: skip
@pytest.mark.parametrize("at", [1, 3, 5, 8])
def test_a_killed_one_goes_on_with_the_same_numbers(
    tmp_path: Path, at: int, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any batch: with a checkpoint after each step, after the last one; and with those of epochs alone."""
    whole, done = trained(tmp_path, **more)
    for every in (0.0, 1e9):
        monkeypatch.setattr(loop, "_SAVE_EVERY", every)
        saved = tmp_path / f"{every}-{at}.ckpt"
        with pytest.raises(Killed):
            trained(tmp_path, saved=saved, after=killing(at), **more)
        torch.rand(7)  # whatever the new process has drawn by then
        again, rest = trained(tmp_path, model=net(seed=9), saved=saved, **more)
        if not saved.exists():
            again, rest = trained(tmp_path, saved=saved, **more)
        assert rest.steps == done.steps
        if rest.resumed_at is not None:
            assert weights(again) == weights(whole)
            assert [each.loss for each in rest.epochs] == [each.loss for each in done.epochs]


@pytest.mark.process
def test_kill_9_in_another_process_loses_no_bit(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path)
    saved = tmp_path / "one.ckpt"
    code = (
        "import os, signal, sys; from pathlib import Path; sys.path[:0] = {path!r}\n"
        "from mlopt.compress.train import loop; loop._SAVE_EVERY = 0.0\n"
        "from tiny_training import trained\n"
        "steps = []\n"
        "def after():\n"
        "    steps.append(1)\n"
        "    if len(steps) == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "trained(Path({folder!r}), saved=Path({saved!r}), after=after)\n"
    ).format(path=sys.path, folder=str(tmp_path / "child"), saved=str(saved))
    ended = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == -signal.SIGKILL
    again, rest = trained(tmp_path, model=net(seed=9), saved=saved)
    assert rest.resumed_at == 5
    assert weights(again) == weights(whole)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = tmp_path / "one.ckpt"
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0.0)
    with pytest.raises(Killed):
        trained(tmp_path, saved=saved, after=killing(3))
    before = saved.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "save", full)
        with pytest.raises(OutputError, match="the one before it is still there") as caught:
            trained(tmp_path, saved=saved)
    assert "No space left" in str(caught.value.problems[0].got)
    assert saved.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*.part")] == []
    assert weights(trained(tmp_path, saved=saved)[0]) == weights(trained(tmp_path)[0])


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path) -> None:
    saved = tmp_path / "one.ckpt"
    saved.write_bytes(b"PK\x03\x04 cut short")
    model, found = trained(tmp_path, saved=saved)
    assert found.resumed_at is None
    assert weights(model) == weights(trained(tmp_path)[0])


def test_a_loss_that_is_no_number_ends_it_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    saved, steps = tmp_path / "one.ckpt", []

    def step(module: Any, batch: Any) -> torch.Tensor:
        steps.append(1)
        loss = torch.nn.functional.cross_entropy(module(batch["x"]), batch["labels"])
        return loss * float("nan") if len(steps) == 8 else loss

    with pytest.raises(PassError, match="not a number") as caught:
        trained(tmp_path, objective=Own(step, "step.py:step"), saved=saved, held_out=0.0)
    assert "learning_rate" in str(caught.value.problems[0].fix)
    kept = checkpoint.read(saved)
    assert kept is not None
    assert kept["at"]["done"] == 6


@pytest.mark.parametrize("returned", [None, 3.0, torch.ones(3), torch.ones(())])
def test_what_is_no_loss_is_told(tmp_path: Path, returned: Any) -> None:
    with pytest.raises(PassError, match="no loss that can be learnt from"):
        trained(tmp_path, objective=Own(lambda _module, _batch: returned, "step.py:step"))


def test_it_stops_where_it_gets_no_better_and_takes_the_best(tmp_path: Path) -> None:
    _, found = trained(tmp_path, epochs=60, patience=2, learning_rate=0.3, schedule="constant", warm_up=0.0)
    assert found.stopped == "patience"
    assert found.best is not None
    losses = [each.held_out for each in found.epochs]
    assert losses[found.best - 1] == min(each for each in losses if each is not None)
    assert len(losses) == found.best + 2


def test_fewer_steps_fit_into_less_time_and_what_timing_them_changed_is_taken_back(tmp_path: Path) -> None:
    ticks = iter(float(tick) for tick in range(10_000))
    hooks = loop.Hooks(clock=lambda: next(ticks))
    made = loop.train(net(), Classification(), clouds(tmp_path), settings(minutes=0.02), hooks=hooks)
    assert made.stopped == "time"
    assert 1 <= made.steps < 12


def test_what_is_averaged_is_what_is_left(tmp_path: Path) -> None:
    averaged, plain = trained(tmp_path, ema=0.5)[0], trained(tmp_path)[0]
    assert weights(averaged) != weights(plain)
    batch = torch.ones(2, 6)
    assert torch.isfinite(averaged(batch)[0]).all()


def test_what_is_held_out_changes_nothing_that_is_learnt(tmp_path: Path) -> None:
    """Looking at it draws no random number, and moves no batch norm."""
    model = net()
    learner = Learner(model, objective := Classification(), settings(ema=0.9), torch.device("cpu"))
    run = loop._Run(model, objective, clouds(tmp_path), settings(), learner=learner, hooks=loop.Hooks(), saved=None)
    before, drawn = weights(model), torch.get_rng_state()
    assert run._judged()[0] is not None
    assert weights(model) == before
    assert torch.equal(torch.get_rng_state(), drawn)


def test_what_is_learnt_from_may_be_changed_and_what_is_judged_is_not(tmp_path: Path) -> None:
    seen: list[int] = []

    def noisy(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(len(inputs["x"]))
        return {"x": inputs["x"] + torch.randn_like(inputs["x"])}

    model, _ = trained(tmp_path, augment=noisy)
    assert seen == [16] * 12
    assert weights(model) != weights(trained(tmp_path)[0])
    assert weights(model) == weights(trained(tmp_path, augment=noisy)[0])


@pytest.mark.parametrize(
    "wrong", [lambda x: {"y": x["x"]}, lambda x: {"x": x["x"][:2]}, lambda x: {"x": x["x"].double()}]
)
def test_other_inputs_than_were_given_are_an_error(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(PassError, match="returns other inputs than it is given"):
        trained(tmp_path, augment=wrong)


def test_a_model_without_weights_is_told(tmp_path: Path) -> None:
    model = net()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(PassError, match="no weights that can be trained"):
        trained(tmp_path, model=model)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="no GPU to train on"):
        trained(tmp_path, device="cuda")
