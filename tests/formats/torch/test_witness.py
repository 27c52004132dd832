"""What a module is and what it answers, written down: equal for what is equal, and what was lost by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.witness import KINDS, Lost, Witness, answers_differ, lost, observe

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

X = (TensorSpec("x", "float32", ("batch", 3)),)
FEEDS = [{"x": np.ones((1, 3), np.float32)}, {"x": np.full((1, 3), 2, np.float32)}]


class Net(torch.nn.Sequential):  # type: ignore[misc, name-defined]
    """Somebody's own module: what lies in it is no setting of PyTorch's."""


def seen(change: Callable[[Any], object], folder: Path) -> Witness:
    """Return the witness of a small module after a change."""
    from mlopt.formats.torch.module import Flat

    (folder / "net.py").write_text("def build(): ...\n")
    torch.manual_seed(0)
    module = Net(torch.nn.Linear(3, 2), torch.nn.LeakyReLU(0.1))
    module.factor = 1.0
    module.register_buffer("mean", torch.zeros(2), persistent=False)
    change(module)
    return observe(Flat(module, 1, ()), X, FEEDS, CodeReference(folder / "net.py", "build"))


def same(_module: Any) -> None:
    pass


def test_a_module_that_is_the_same_answers_the_same(tmp_path: Path) -> None:
    first, second = seen(same, tmp_path), seen(same, tmp_path)
    assert answers_differ(first, second) is None
    assert lost(first, second) == []
    assert (first.feeds, first.failure, first.steady) == (2, None, True)
    assert len(first.outputs) > 2


CHANGES: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "a number": (lambda m: setattr(m, "factor", 2.0), "number", "factor"),
    "a tensor": (lambda m: setattr(m, "shift", torch.ones(2)), "number", "shift"),
    "a text": (lambda m: setattr(m, "mode", "max"), "setting", "mode"),
    "a list of layers": (lambda m: setattr(m, "more", [torch.nn.Linear(2, 2)]), "layers", "more"),
    "a setting of PyTorch's": (lambda m: setattr(m[1], "negative_slope", 0.9), "setting", "1.negative_slope"),
    "a buffer that is not kept": (lambda m: m.mean.fill_(1), "buffer", "mean"),
    "another dtype": (lambda m: m.double(), "dtype", "0.bias"),
    "a hook": (lambda m: m[0].register_forward_hook(lambda *given: given[-1] * 2), "hooks", "0"),
    "another forward": (lambda m: setattr(m, "forward", lambda x: x), "forward", "the model itself"),
    "another layer": (lambda m: m.__setitem__(1, torch.nn.Tanh()), "module", "1"),
    "shared weights": (lambda m: m.register_parameter("again", m[0].weight), "tied", "again"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_training_changed_beside_weights_is_named(tmp_path: Path, name: str) -> None:
    change, kind, of = CHANGES[name]
    found = lost(seen(change, tmp_path), seen(same, tmp_path))
    assert (kind, of) in {(each.kind, each.name) for each in found}
    assert all("made again " in each.values for each in found)
    order = [KINDS.index(each.kind) for each in found]
    assert order == sorted(order)


def test_of_a_replaced_layer_nothing_inside_is_told_besides(tmp_path: Path) -> None:
    found = lost(seen(lambda m: m.__setitem__(1, torch.nn.Tanh()), tmp_path), seen(same, tmp_path))
    assert [(each.kind, each.name) for each in found] == [("module", "1")]


def test_answers_that_differ_are_told_with_where(tmp_path: Path) -> None:
    whole = seen(same, tmp_path)
    assert (answers_differ(whole, seen(lambda m: m[0].bias.data.fill_(9), tmp_path)) or "").startswith(
        "on sample 0, output 0"
    )
    larger = answers_differ(whole, seen(lambda m: m.append(torch.nn.Hardtanh(-2.0, 2.0)), tmp_path))
    assert (larger or "").startswith("on samples that were made larger, smaller or longer")
    wider = seen(lambda m: m.append(torch.nn.Linear(2, 5)), tmp_path)
    assert "is [1, 2], and [1, 5] when it is made again" in (answers_differ(whole, wider) or "")


def test_a_module_that_fails_only_once_is_told_and_one_that_never_repeats_itself_is_not_blamed(tmp_path: Path) -> None:
    def fail(_x: object) -> None:
        raise KeyError("gone")

    whole, failing = seen(same, tmp_path), seen(lambda m: setattr(m, "forward", fail), tmp_path)
    assert (answers_differ(failing, whole) or "").startswith("it fails at first: KeyError: 'gone' (")
    assert (answers_differ(whole, failing) or "").startswith("it fails when it is made again: KeyError: 'gone' (")
    assert answers_differ(failing, failing) is None
    unsteady = Witness({}, ((np.zeros(1),),), 1, None, steady=False)
    assert answers_differ(unsteady, Witness({}, ((np.ones(1),),), 1)) is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ([1.0], [1.0 + 1e-7], True), ([1.0], [1.001], False), ([np.nan, 1.0], [np.nan, 1.0], True),
        ([np.inf], [-np.inf], False), ([np.nan], [1.0], False), ([1e6, 1e-3], [1e6, 2e-3], True),
    ],
)  # fmt: skip
def test_answers_agree_within_rounding(one: list[float], other: list[float], alike: bool) -> None:
    made = [Witness({}, ((np.array(values, np.float32),),), 1) for values in (one, other)]
    assert (answers_differ(*made) is None) is alike


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ([3.0, np.nan], [3.0, 0.0], "has nan, and 0"), ([3.0, np.inf], [0.0, -np.inf], "has inf, and -inf"),
        ([np.nan, 1.0, 2.0], [np.nan, 1.0, 4.0], "has 2, and 4"), ([1, 7], [1, 8], "has 7, and 8"),
        ([1.0], [1], "is float64, and int64"), ([], np.zeros(0, np.float32), "is float64, and float32"),
    ],
)  # fmt: skip
def test_the_value_that_differs_most_is_the_one_that_is_told(one: Any, other: Any, told: str) -> None:
    made = [Witness({}, ((np.asarray(values),),), 1) for values in (one, other)]
    assert answers_differ(*made) == f"on sample 0, output 0 {told} when it is made again"


def test_long_values_are_shown_from_where_they_differ() -> None:
    was, now = ({"setting: s": repr("a" * 100 + end)} for end in "xy")
    (found,) = lost(Witness(was, (), 0), Witness(now, (), 0))
    assert found == Lost("setting", "s", "...aaaaaaaaaaaaaaaaaaaax', made again ...aaaaaaaaaaaaaaaaaaaay'")
