"""Work is done as long as it takes no more than its share of the time."""

from __future__ import annotations

import pytest

from mlopt.sketches.thrift import Thrift


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def done(thrift: Thrift, clock: Clock, seconds: float) -> bool:
    """Do work of so many seconds if there is time for it; return whether it was done."""
    if not thrift.may_begin():
        return False
    clock.now += seconds
    thrift.end()
    return True


@pytest.mark.parametrize(("share", "each", "idle"), [(0.01, 0.001, 0.009), (0.05, 0.01, 0.0), (0.01, 0.2, 1.0)])
def test_the_share_is_kept_in_the_long_run(share: float, each: float, idle: float) -> None:
    clock = Clock()
    thrift, spent = Thrift(share, clock), 0.0
    while clock.now < 1000:
        spent += each * done(thrift, clock, each)
        clock.now += idle or 0.01
    assert 0.5 * share < spent / clock.now < 1.05 * share


def test_cheap_work_is_always_done() -> None:
    clock, count = Clock(), 0
    thrift = Thrift(0.01, clock)
    for _ in range(1000):
        count += done(thrift, clock, 1e-6)
        clock.now += 0.01
    assert count == 1000


def test_a_quiet_hour_does_not_pay_for_a_busy_minute() -> None:
    clock = Clock()
    thrift = Thrift(0.01, clock)
    clock.now += 3600
    assert sum(done(thrift, clock, 0.02) for _ in range(100)) < 10
