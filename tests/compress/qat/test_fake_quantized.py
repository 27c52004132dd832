"""The graph that rounds: what it starts from, what follows the data and when, and what it becomes."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("torchao", reason="needs the extra mlopt[qat]")
from rounding_models import images, net, prepared

from mlopt.compress.qat.quantizer import BATCH_NORM

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


def test_without_rounding_it_is_the_model_whose_batch_norms_keep_their_eps() -> None:
    made, image = prepared(), images(seed=1)
    for each in made.fake_quantizers():
        each.disable_fake_quant()
    torch.testing.assert_close(made(image)[0], net()(image), atol=1e-4, rtol=1e-4)
    assert len(made.layers) == 5


@pytest.mark.parametrize("per_channel", [True, False])
def test_what_it_becomes_gives_exactly_what_it_was_trained_to_give(per_channel: bool) -> None:
    made, image = prepared(per_channel=per_channel), images(seed=2)
    made.train()
    made(images(seed=1))
    made.eval()
    assert torch.equal(made.converted()(image)[0], made(image)[0])


def test_in_training_ranges_and_statistics_follow_until_they_are_frozen() -> None:
    made = prepared()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(10 * images(seed=1))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    made.train()
    made(10 * images(seed=1))
    after = {name: value.clone() for name, value in made.state_dict().items()}
    changed = {name.rpartition(".")[2] for name in after if not torch.equal(after[name], before[name])}
    assert {"max_val", "running_mean"} <= changed
    made.freeze()
    made(10 * images(seed=2))
    frozen = {n.rpartition(".")[2] for n, value in made.state_dict().items() if not torch.equal(value, after[n])}
    assert frozen == {"observer_enabled"}


def test_dropout_and_batch_norms_keep_their_numbers_in_training() -> None:
    made = prepared()
    assert torch.equal(made(images())[0], made(images())[0])
    made.freeze()
    made.train()
    nodes = made.graph_module.graph.nodes
    assert [node.args[1:] for node in nodes if "dropout" in str(node.target)] == [(0.3, True)]
    assert [node.args[5:8] for node in nodes if node.target is BATCH_NORM] == [(False, 0.3, 0.1), (False, 0.1, 1e-5)]


def test_ranges_start_at_the_extremes_of_all_that_was_seen() -> None:
    made, seen = prepared(), [images(), 5 * images(seed=1)]
    made.calibrate([(image,) for image in seen])
    observers = [each.activation_post_process for each in made.fake_quantizers() if each.dtype is torch.uint8]
    ranges = {(float(each.min_val), float(each.max_val)) for each in observers}
    assert (float(torch.cat(seen).min()), float(torch.cat(seen).max())) in ranges


def test_weights_learn_through_the_rounding() -> None:
    made = prepared()
    made.train()
    made(images())[0].square().sum().backward()
    names = {name for name, value in made.named_parameters() if value.grad is not None and value.grad.abs().sum() > 0}
    assert {f"graph_module.model.{name}.weight" for name in ("first", "norm", "biased", "head")} <= names
