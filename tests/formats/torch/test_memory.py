"""What a module draws and remembers: each named in words, with the line or the place that holds it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mlopt.core.errors import ModelError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.memory import generators, traced
from mlopt.formats.torch.source import materialize

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

X = (TensorSpec("x", "float32", ("batch", 2)),)
FEEDS = [{"x": np.ones((1, 2), np.float32)}] * 2
HEAD = """\
import random
import numpy as np
import torch

SEEN = []


class Net(torch.nn.Module):
    calls = 0

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(1))
        self.inner = torch.nn.Module()
        self.inner.history = {"last": [0]}
        self.own = np.random.default_rng(0)

    def forward(self, x):
"""
FORWARD_AT = HEAD.count("\n") + 1


def seen(folder: Path, *lines: str) -> tuple[list[str], list[str]]:
    """Return what is said of a module whose ``forward`` has these lines."""
    body = "".join(f"        {line}\n" for line in (*lines, "return x"))
    (folder / "net.py").write_text(f"{HEAD}{body}\n\ndef build():\n    return Net()\n")
    (folder / "model").mkdir()
    code = CodeReference(folder / "net.py", "build")
    return traced(materialize(code, None, X, (), folder / "model"), FEEDS)


def test_a_module_that_repeats_itself_draws_and_remembers_nothing(tmp_path: Path) -> None:
    assert seen(tmp_path, "y = x * 2") == ([], [])


def test_a_random_operator_is_named_once_with_its_line(tmp_path: Path) -> None:
    drawn, changed = seen(tmp_path, "y = x", "x = torch.nn.functional.dropout(x, 0.5, True)")
    assert len(drawn) == 1
    assert drawn[0].endswith(f" at {tmp_path / 'net.py'}:{FORWARD_AT + 1}")
    assert changed == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("random.random()", "drawn from Python's `random`"),
        ("np.random.rand()", "drawn from NumPy's `numpy.random`"),
        ("self.own.random()", "attribute 'own', a random generator"),
    ],
)
def test_a_generator_that_moved_is_named(tmp_path: Path, line: str, named: str) -> None:
    assert seen(tmp_path, line) == ([named], [])


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("self.total += x.sum()", "buffer 'total'"),
        ("self.inner.history['last'].append(1)", "attribute 'history' of 'inner'"),
        ("type(self).calls += 1", "class attribute 'Net.calls'"),
        ("SEEN.append(1)", "global variable 'SEEN'"),
    ],
)
def test_what_is_remembered_is_named_by_its_place(tmp_path: Path, line: str, named: str) -> None:
    assert seen(tmp_path, line) == ([], [named])


def test_a_module_that_fails_is_an_error_of_the_model(tmp_path: Path) -> None:
    materialized = "if x.shape[0] == 1: raise KeyError('odd')"
    with pytest.raises(ModelError, match=r"the model's forward\(\) failed") as caught:
        seen(tmp_path, materialized)
    assert caught.value.problems[0].where == f"{tmp_path / 'net.py'}:{FORWARD_AT}"


def test_the_state_of_a_generator_changes_when_it_is_drawn_from_and_not_when_it_is_asked() -> None:
    draws = {
        "Python's `random`": random.random, "NumPy's `numpy.random`": np.random.rand,
        "PyTorch's generator": lambda: torch.rand(1),
    }  # fmt: skip
    for name, draw in draws.items():
        before = generators()
        assert generators() == before
        draw()
        assert {other for other, state in generators().items() if state != before[other]} == {name}
