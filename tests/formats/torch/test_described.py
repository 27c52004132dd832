"""Values in words: alike where they are equal, and otherwise where they differ."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from mlopt.formats.torch.described import described, type_name

torch = pytest.importorskip("torch")


class Colour(enum.Enum):
    RED = 1


class Box:
    def __init__(self, value: object) -> None:
        self.value = value


def itself() -> Any:
    box = Box(None)
    box.value = [box]
    return box


EQUAL: dict[str, Callable[[], Any]] = {
    "numbers": lambda: [1, 2.5, True, None, 1j], "text": lambda: {"a": "b", "c": b"d"},
    "a set": lambda: {"x", "y", "z"}, "an enum": lambda: Colour.RED, "an object": lambda: Box({"k": [1]}),
    "a function with what it holds": lambda: partial(Box, value=3), "an array": lambda: np.arange(9),
    "a tensor": lambda: torch.arange(9), "a circle": itself, "a module": torch.nn.Flatten,
    "a tensor without values": lambda: torch.ones(2, device="meta"), "an empty tensor": lambda: torch.zeros(0),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_what_is_equal_is_described_alike(name: str) -> None:
    first, second = EQUAL[name](), EQUAL[name]()
    assert described(first) == described(second)
    assert " at 0x" not in described(first)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0), (1, True), ("1", 1), ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), (Box(1), Box(2)),
        (torch.zeros(9), torch.zeros(9).index_fill(0, torch.tensor([8]), 1.0)), (torch.zeros(2), torch.zeros(2, 1)),
        (np.zeros(2), np.zeros(2, np.float32)), (partial(Box, 1), partial(Box, 2)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_differs_is_described_otherwise(one: object, other: object) -> None:
    assert described(one) != described(other)


def test_a_class_is_named_with_its_module() -> None:
    assert type_name(Colour.RED) == f"{__name__}.Colour"
