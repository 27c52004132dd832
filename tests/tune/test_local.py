from __future__ import annotations

from itertools import pairwise

from mlopt.core.errors import ModelError
from mlopt.tune.executor import Call
from mlopt.tune.local import LocalExecutor


class Bench:
    def double(self, number: int) -> int:
        if number < 0:
            raise ModelError("it is negative", got=str(number))
        return 2 * number

    def close(self) -> None:
        raise AssertionError("who opened it closes it")


def test_calls_are_done_in_their_order_and_one_that_fails_says_why() -> None:
    calls = [Call("double", (1,)), Call("double", (-1,)), Call("double", (3,), alone=True)]
    with LocalExecutor(Bench()) as executor:
        done = list(executor.run(calls))
    assert [each.value for each in done] == [2, None, 6]
    assert [each.call for each in done] == calls
    assert done[1].error == "it is negative: -1"
    assert all(one.ended <= other.began for one, other in pairwise(done))
