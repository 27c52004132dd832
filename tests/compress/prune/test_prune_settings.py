"""Which layers are meant, and which importance needs a loss."""

from __future__ import annotations

import pytest

from mlopt.compress.prune.settings import Structure, matches


@pytest.mark.parametrize(
    ("name", "patterns", "meant"),
    [
        ("head", ["head"], True), ("blocks.0.head", ["head"], False), ("blocks.0.conv1", ["blocks.*.conv1"], True),
        ("blocks.0.conv1", ["stem", "blocks.0*"], True), ("Head", ["head"], False), ("head", [], False),
    ],
)  # fmt: skip
def test_layers_are_meant_by_name_or_pattern(name: str, patterns: list[str], meant: bool) -> None:
    assert matches(name, patterns) is meant


def test_only_what_a_loss_tells_needs_gradients() -> None:
    needing = {name for name in ("magnitude", "taylor", "hessian", "bn_scale", "random")
               if Structure(importance=name).needs_gradients}  # type: ignore[arg-type]  # fmt: skip
    assert needing == {"taylor", "hessian"}
