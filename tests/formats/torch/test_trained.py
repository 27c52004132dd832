"""What train() does beside setting weights: kept where it can be, else named, with the way to keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch_models import X, said, samples, taken, text

from mlopt.formats.model import TensorSpec

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

Golden = Callable[[str, str], None]
FILL = "model.f.weight.data.fill_(1)\nmodel.f.bias.data.zero_()\n"
BUFFER = "self.register_buffer('mean', torch.zeros(6), persistent=False)\nself.scale = 1.0"

LOST = {
    "buffer_and_attribute": text(
        "return self.f(x - self.mean) * self.scale", BUFFER, train="model.mean.fill_(3.0)\nmodel.scale = 10.0"
    ),
    "plain_tensor": text("return self.f(x - self.mean)", "self.mean = torch.zeros(6)", train="model.mean += 1"),
    "setting": text(
        "return self.f(x).abs() if self.mode == 'abs' else self.f(x)", "self.mode = ''", train="model.mode = 'abs'"
    ),
    "list_of_layers": text(
        "return self.f(self.more[0](x))", "self.more = [nn.Linear(6, 6)]", train="model.more[0].weight.data.fill_(1)"
    ),
    "activation": text("return self.act(self.f(x))", "self.act = nn.ReLU()", train="model.act = nn.Tanh()"),
    "layer_of_another_size": text(train="model.f = nn.Linear(6, 5)"),
    "forward": text(train="model.forward = lambda x: model.f(x) * 2"),
    "forward_of_the_class": text(train="Net.forward = lambda self, x: self.f(x) * 2"),
    "class_attribute": text("return self.f(x) * self.factor", train="Net.factor = 3.0"),
    "global": text("return self.f(x) * SCALE", train="global SCALE\nSCALE = 3.0", before="\nSCALE = 1.0"),
    "hook": text(train="model.f.register_forward_hook(lambda module, given, y: y * 2)"),
    "parametrization": text(train="nn.utils.parametrizations.weight_norm(model.f)"),
    "pruning": text(train="from torch.nn.utils import prune\nprune.l1_unstructured(model.f, 'weight', 0.5)"),
    "untied": text(
        "return self.g(self.h(x))", "self.g, self.h = nn.Linear(6, 6), nn.Linear(6, 6)\nself.g.weight = self.h.weight",
        train="model.g.weight = nn.Parameter(torch.ones(6, 6))",
    ),
    "another_model_returned": text(train="return nn.Sequential(nn.Linear(6, 9))"),
    "several_models_returned": text(train="return model, Net()"),
    "weights_returned_that_do_not_fit": text(train="return {'f.weight': torch.ones(4, 7)}"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_named(name: str, tmp_path: Path, golden: Golden) -> None:
    golden(f"torch/lost_{name}.txt", said(tmp_path, LOST[name], trained=True))


def test_a_model_that_is_another_each_time_is_named(tmp_path: Path, golden: Golden) -> None:
    random = "import os\nself.w = torch.tensor(list(os.urandom(6))) * 1.0"
    told = said(tmp_path, text("return self.f(x * self.w)", random))
    golden("torch/build_is_random.txt", told.replace(told.partition("(tensor")[2].partition("))")[0], "<values>"))


@pytest.mark.parametrize(
    "train",
    [
        FILL,
        f"{FILL}model.losses = [1.0]; model.epoch = 3",
        f"{FILL}return {{'loss': torch.ones(())}}",
        f"{FILL}return model, [1.0, 0.5]",
        f"import copy\nmodel = copy.deepcopy(model)\n{FILL}return model",
        f"{FILL}return nn.DataParallel(model)",
        "return {'f.weight': torch.ones(4, 6), 'f.bias': torch.zeros(4)}, 'done'",
        f"model.train()\n{FILL}",
        f"{FILL}model.half().float()",
        "model.f = nn.Linear(6, 4)\n" + FILL,
    ],
)
def test_weights_are_kept_whatever_else_a_training_does(tmp_path: Path, train: str) -> None:
    for feed, got in zip(samples(X), taken(tmp_path, text(train=train), trained=True), strict=True):
        np.testing.assert_allclose(got["output"], feed["x"].sum(1, keepdims=True).repeat(4, 1), rtol=1e-4)


def test_a_persistent_buffer_is_the_fix_that_the_message_names(tmp_path: Path) -> None:
    init = "self.register_buffer('mean', torch.zeros(6))\nself.register_buffer('scale', torch.tensor(1.0))"
    train = f"{FILL}model.mean.fill_(3.0)\nmodel.scale.fill_(10.0)"
    code = text("return self.f(x - self.mean) * self.scale", init, train=train)
    for feed, got in zip(samples(X), taken(tmp_path, code, trained=True), strict=True):
        np.testing.assert_allclose(got["output"][0, 0], (feed["x"] - 3).sum() * 10, rtol=1e-4)


@pytest.mark.parametrize(
    "forward", ["return nn.functional.dropout(x, 0.5, True)", "import os\nreturn x * float(os.urandom(1)[0])"]
)
def test_a_model_that_never_repeats_itself_is_not_blamed_on_the_training(tmp_path: Path, forward: str) -> None:
    assert taken(tmp_path, text(forward), trained=True)


def test_a_limit_that_no_sample_reaches_is_looked_for(tmp_path: Path) -> None:
    """The samples stay below 4.5, where the limit makes no difference."""
    limit = text("return self.f(x.clamp(-self.limit, self.limit))", "self.limit = 100.0", train="model.limit = 4.5")
    told = said(tmp_path, limit, trained=True)
    assert "limit" in told
    assert "on samples that were made larger, smaller or longer" in told


@pytest.mark.parametrize(
    ("forward", "init", "train", "name"),
    [
        ("return self.f(x).clamp(max=self.limit)", "self.limit = 9000.0", "model.limit = 90.0", "limit"),
        ("return self.f(x).clamp(min=self.limit)", "self.limit = -9000.0", "model.limit = -40.0", "limit"),
        ("return torch.where(x.abs() < self.limit, 7.0, x)", "self.limit = 0.0", "model.limit = 5e-4", "limit"),
    ],
)
def test_a_limit_far_from_all_samples_is_looked_for(
    forward: str, init: str, train: str, name: str, tmp_path: Path
) -> None:
    assert f"attribute '{name}'" in said(tmp_path, text(forward, init, train=train), trained=True)


@pytest.mark.parametrize(
    ("forward", "train"),
    [
        ("return torch.where(x == self.special, -1, x) * self.f.weight.sum()", "model.special = 50"),
        ("return x[:, : self.longest] * self.f.weight.sum()", "model.longest = 100"),
    ],
)
def test_numbers_and_lengths_that_no_sample_has_are_looked_for(forward: str, train: str, tmp_path: Path) -> None:
    code = text(forward, "self.special, self.longest = -1, 1000", train=train)
    ids = (TensorSpec("x", "int64", ("batch", "length")),)
    assert "attribute '" in said(tmp_path, code, trained=True, inputs=ids)


def test_another_dtype_is_named(tmp_path: Path) -> None:
    code = text("return self.f(x.to(self.f.weight.dtype)).float()", train="model.half()")
    told = said(tmp_path, code, trained=True)
    assert "dtype of 'f.weight' (float16, made again float32)" in told
    assert "convert the model in build(), too" in told


def test_the_model_in_a_returned_trainer_counts(tmp_path: Path) -> None:
    train = "from types import SimpleNamespace\nbest = Net()\nbest.f.weight.data.fill_(2)\nbest.f.bias.data.zero_()\n"
    got = taken(tmp_path, text(train=f"{train}return SimpleNamespace(model=best)"), trained=True)
    np.testing.assert_allclose(got[0]["output"][0, 0], samples(X)[0]["x"].sum() * 2, rtol=1e-4)


def test_a_setting_of_a_layer_of_pytorch_is_not_to_become_a_buffer(tmp_path: Path) -> None:
    code = text("return self.act(self.f(x))", "self.act = nn.LeakyReLU(0.1)", train="model.act.negative_slope = 0.9")
    told = said(tmp_path, code, trained=True)
    assert "set 'negative_slope' in build(), not in train()" in told
    assert "register_buffer" not in told
