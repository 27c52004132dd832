"""What became of requests, as arrays."""

from __future__ import annotations

import numpy as np
from load_example import volley

from mlopt.loadtest.volley import Volley, joined


def test_of_a_kind_of_failure_the_first_is_the_example() -> None:
    found = Volley.planned(np.arange(3.0))
    found.fail(2, "timeout", "the third")
    found.fail(0, "timeout", "the first")
    assert found.failed == ["timeout", None, "timeout"]
    assert found.examples == {"timeout": "the third"}


def test_a_part_has_its_own_failures_only() -> None:
    found = volley([1.0] * 4, 4.0, failed=[(1, "timeout"), (2, "wrong")])
    part = found.part(np.array([0, 2]))
    assert part.failed == [None, "wrong"]
    assert part.examples == {"wrong": "wrong of request 2"}
    assert part.moments.tolist() == [0, 2]


def test_several_follow_each_other() -> None:
    one, other = volley([1.0] * 2, 2.0), volley([2.0] * 2, 2.0, failed=[(0, "wrong")])
    found = joined([one, other], 2.0)
    assert found.moments.tolist() == [0, 1, 2, 3]
    assert np.allclose(1000 * (found.done - found.moments), [1, 1, 2, 2])
    assert found.failed == [None, None, "wrong", None]
    assert found.examples == {"wrong": "wrong of request 0"}
