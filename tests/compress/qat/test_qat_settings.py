"""How many codes a weight has."""

from __future__ import annotations

from mlopt.compress.qat.settings import FakeQuantization


def test_seven_bits_where_sums_of_products_could_overflow() -> None:
    assert (FakeQuantization().largest, FakeQuantization(reduce_range=True).largest) == (127, 63)
