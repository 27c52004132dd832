"""Work is done as long as it takes no more than its share of the time."""

from __future__ import annotations

import pytest

from mlopt.sketches.thrift import Thrift


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("share", "each", "idle"), [(0.01, 0.001, 0.009), (0.05, 0.01, 0.0), (0.01, 0.2, 1.0)])
def test_the_share_is_kept_in_the_long_run(share: float, each: float, idle: float) -> None:
    clock = Clock()
    thrift, spent = Thrift(share, clock), 0.0
    while clock.now < 1000:
        if thrift.do(lambda: clock.work(each)):
            spent += each
        clock.now += idle or 0.01
    assert 0.5 * share < spent / clock.now < 1.05 * share


def test_cheap_work_is_always_done() -> None:
    clock, done = Clock(), 0
    thrift = Thrift(0.01, clock)
    for _ in range(1000):
        done += thrift.do(lambda: clock.work(1e-6))
        clock.now += 0.01
    assert done == 1000


def test_a_quiet_hour_does_not_pay_for_a_busy_minute() -> None:
    clock = Clock()
    thrift = Thrift(0.01, clock)
    clock.now += 3600
    done = sum(thrift.do(lambda: clock.work(0.02)) for _ in range(100))
    assert done < 10
