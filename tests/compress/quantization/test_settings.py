"""How a model is to be quantized: which settings nobody can carry out."""

from __future__ import annotations

from typing import Any

import pytest

from mlopt.compress.quantization.settings import Algorithm, WeightOnly, unfit


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"block_size": 8}, "block_size is 8"),
        ({"block_size": 48}, "powers of two from 16 on"),
        ({"block_size": 0}, "powers of two from 16 on"),
        ({"block_size": -32}, "powers of two from 16 on"),
        ({"algorithm": Algorithm.HQQ}, "add `symmetric: false`"),
        ({"algorithm": Algorithm.HQQ, "symmetric": False, "bits": 8}, "with 4 bits, not with 8"),
    ],
)
def test_settings_that_nobody_can_carry_out_say_why(said: dict[str, Any], why: str) -> None:
    assert why in str(unfit(WeightOnly(**said)))


@pytest.mark.parametrize(
    "said",
    [{}, {"bits": 8}, {"block_size": 16}, {"block_size": 256}, {"algorithm": Algorithm.HQQ, "symmetric": False}],
)
def test_the_others_can_be_carried_out(said: dict[str, Any]) -> None:
    assert unfit(WeightOnly(**said)) is None
