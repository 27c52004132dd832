"""The package behind the sketches, and what is said where it is not installed."""

from __future__ import annotations

import numpy as np
import pytest

from mlopt.core.errors import DataError, MissingPackage
from mlopt.sketches import library


def test_numbers_go_through_bytes() -> None:
    made = library.numbers()
    made.update(np.arange(10, dtype=np.float32))
    again = library.numbers(bytes(made.serialize()))
    assert (again.n, again.get_quantile(0.5)) == (10, made.get_quantile(0.5))


def test_counts_of_what_differs_unite() -> None:
    parts = []
    for start in (0, 50):
        made = library.distinct_values()
        for value in range(start, start + 100):
            made.update(value)
        parts.append(bytes(made.serialize_compact()))
    assert library.distinct_values(library.united(parts)).get_estimate() == pytest.approx(150, rel=0.1)


def test_bytes_that_are_no_sketch_do_not_reach_the_library() -> None:
    with pytest.raises(DataError):
        library.numbers(b"nothing")
    with pytest.raises(DataError):
        library.distinct_values(b"nothing to see")
    with pytest.raises(DataError):
        library.united([b"nothing to see"])


def test_where_it_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "version", lambda _: None)
    assert not library.installed()
    with pytest.raises(MissingPackage, match="datasketches is not installed") as caught:
        library.check_installed()
    assert "install" in str(caught.value.problems[0].fix)
