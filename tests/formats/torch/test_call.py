"""Inputs become arguments of ``forward()`` by name or by position, and never by half of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.torch.call import bind

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

Forward = Callable[..., Any]


def module(forward: Forward) -> Any:
    made = torch.nn.Module()
    made.forward = forward
    return made


BOUND: dict[str, tuple[Forward, tuple[str, ...], tuple[int, tuple[str, ...]]]] = {
    "by name": (lambda text, mask: 0, ("mask", "text"), (0, ("mask", "text"))),
    "by name, without what has a default": (
        lambda text, scale=1, mask=None: 0,
        ("text", "mask"),
        (0, ("text", "mask")),
    ),
    "by name alone": (lambda *, text: 0, ("text",), (0, ("text",))),
    "any names": (lambda **given: 0, ("a", "b"), (0, ("a", "b"))),
    "one name, and any others": (lambda text, **more: 0, ("text", "b"), (0, ("text", "b"))),
    "by position": (lambda x, y=None: 0, ("image",), (1, ())),
    "by position alone": (lambda x, y, /: 0, ("x", "y"), (2, ())),
    "any number": (lambda *given: 0, ("a", "b", "c"), (3, ())),
    "one and any number": (lambda x, *more: 0, ("a", "b", "c"), (3, ())),
}


@pytest.mark.parametrize("name", BOUND)
def test_inputs_find_their_arguments(name: str) -> None:
    forward, names, bound = BOUND[name]
    assert bind(module(forward), names, "net.py") == bound


REFUSED: dict[str, tuple[Forward, tuple[str, ...], str]] = {
    "a needed argument is not declared": (lambda text, mask: 0, ("text",), "forward() also needs 'mask'"),
    "a needed argument by name": (lambda x, *, mask: 0, ("image",), "forward() also needs 'mask'"),
    "a name that is unknown, among known ones": (
        lambda text, mask: 0, ("mask", "ids"), "forward() has no argument 'ids'",
    ),
    "another order of positions": (
        lambda text, mask, /: 0, ("mask", "text"), "the order of the inputs is not forward()'s",
    ),
    "too many": (lambda x: 0, ("a", "b"), "forward() takes 1 inputs, and 2 are declared"),
    "too few": (lambda x, y: 0, ("a",), "forward() also needs 'y'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_only_half_agree_are_an_error(name: str) -> None:
    forward, names, what = REFUSED[name]
    with pytest.raises(ModelError) as caught:
        bind(module(forward), names, "net.py")
    problem = caught.value.problems[0]
    assert (problem.what, problem.where) == (what, "net.py: model.inputs")
    assert problem.got == ", ".join(names)
    assert (problem.expected or "").startswith("forward(")


def test_a_forward_without_a_signature_takes_all_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ValueError("no signature found")

    monkeypatch.setattr("inspect.signature", fail)
    assert bind(module(lambda: 0), ("a", "b"), "net.py") == (2, ())
