"""A sketch of numbers is read as the library means it, from its bytes alone; other bytes are refused."""

from __future__ import annotations

import datasketches
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.sketches.kll import RANK_ERROR, RANK_SIGMA, K, parse

SIZES = (0, 1, 2, 7, 200, 201, 1000, 3000, 50_000)


def sketch(values: np.ndarray) -> datasketches.kll_floats_sketch:
    made = datasketches.kll_floats_sketch(K)
    made.update(values.astype(np.float32))
    return made


@pytest.mark.parametrize("size", SIZES)
def test_what_is_read_is_what_the_library_says(size: int) -> None:
    made = sketch(np.random.default_rng(size).standard_normal(size))
    found = parse(made.serialize())
    assert found.n == made.n == size
    assert found.exact is (not made.is_estimation_mode())
    if size:
        assert (found.low, found.high) == (made.get_min_value(), made.get_max_value())
        for at in (-2.0, -0.3, 0.0, 1.5, found.low, found.high):
            assert found.share(at) == pytest.approx(made.get_rank(at, True))
        shares = [0.1, 0.25, 0.5, 0.9]
        assert list(found.quantile(shares)) == pytest.approx(made.get_quantiles(shares, True))


def test_an_empty_one_has_no_shares() -> None:
    found = parse(sketch(np.empty(0)).serialize())
    assert np.isnan(found.share([0.0, 1.0])).all()
    assert np.isnan(found.low)


def test_the_error_is_the_one_that_the_library_states_and_keeps() -> None:
    assert datasketches.kll_floats_sketch.get_normalized_rank_error(K, False) == pytest.approx(RANK_ERROR, abs=5e-5)
    rng = np.random.default_rng(0)
    at = np.linspace(0.05, 0.95, 19)
    errors = [parse(sketch(rng.permutation((np.arange(4096) + 0.5) / 4096)).serialize()).share(at) - at
              for _ in range(100)]  # fmt: skip
    assert np.std(errors) < 1.1 * RANK_SIGMA
    assert np.abs(errors).max() < 5 * RANK_SIGMA


@pytest.mark.parametrize("size", SIZES)
def test_a_byte_less_or_more_is_refused(size: int) -> None:
    data = sketch(np.arange(size, dtype=np.float32)).serialize()
    for other in (data[:-1], data + b"\0", b"", data[4:]):
        with pytest.raises(DataError, match="no sketch that mlopt wrote"):
            parse(other)


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(("at", "value", "what"), [
    (0, 9, "preamble"), (1, 7, "version"), (2, 7, "family 7"), (3, 64, "flags"), (4, 9, "k = 9"), (6, 4, "m = 4"),
    (8, 9, "n ="), (16, 9, "k = 9"), (18, 0, "0 levels"), (18, 255, "255 levels"), (20, 255, "levels that do not fit"),
    (27, 255, "levels that do not fit"),
])  # fmt: skip
def test_what_the_library_would_stumble_over_is_named(at: int, value: int, what: str) -> None:
    data = sketch(np.arange(3000, dtype=np.float32)).serialize()
    with pytest.raises(DataError) as caught:
        parse(changed(data, at, value))
    assert what in str(caught.value)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e30])
def test_values_that_cannot_be_are_refused(odd: float) -> None:
    data = bytearray(sketch(np.arange(3000, dtype=np.float32)).serialize())
    data[-4:] = np.float32(odd).tobytes()
    with pytest.raises(DataError):
        parse(bytes(data))


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int, value: int) -> None:
    honest = sketch(np.arange(300, dtype=np.float32)).serialize()
    for data in (noise, honest[:8] + noise, changed(honest, at, value)):
        try:
            found = parse(data)
        except DataError:
            continue
        assert found.weights.sum() == found.n
        datasketches.kll_floats_sketch.deserialize(data)
