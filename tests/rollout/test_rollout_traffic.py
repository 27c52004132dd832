"""Plans: whatever serves, and however far one is carried out, requests go only to what is ready, and sum to 100."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rollout_world import A, B, C

from mlopt.core.errors import UserError
from mlopt.rollout import traffic
from mlopt.rollout.traffic import HeldVersion, Serving, TrafficPlan, TrafficSplit

DIGESTS = (A, B, C)


@some.composite
def servings(draw: some.DrawFn) -> Serving:
    """Something serves: shares sum to 100, and only of versions that are ready."""
    loaded = draw(some.lists(some.sampled_from(DIGESTS), min_size=1, max_size=3, unique=True))
    cut = draw(some.integers(0, 100))
    shares = draw(some.sampled_from([(100, 0, 0), (cut, 100 - cut, 0)])) if len(loaded) > 1 else (100, 0, 0)
    return Serving(
        tuple(
            HeldVersion(
                digest, "ready" if share else draw(some.sampled_from(["ready", "failed", "loading"])), share,
                draw(some.sampled_from([0, 20])) if not share else 0, 1,
            )
            for digest, share in zip(loaded, shares, strict=False)
        )
    )  # fmt: skip


def carried_out(serving: Serving, plan: TrafficPlan) -> list[Serving]:
    """Return what serves after each part of a plan."""
    found = []
    if plan.load is not None:
        others = tuple(each for each in serving.versions if each.digest != plan.load)
        serving = Serving((*others, HeldVersion(plan.load, "ready", 0)))
        found.append(serving)
    if plan.shift is not None:
        shift = plan.shift
        serving = Serving(
            tuple(
                replace(each, weight=shift.weights.get(each.digest, 0), shadow=shift.shadow.get(each.digest, 0))
                for each in serving.versions
            )
        )
        found.append(serving)
    for digest in plan.unload:
        gone = serving.get(digest)
        assert gone is not None
        assert gone.weight == 0
        serving = Serving(tuple(each for each in serving.versions if each.digest != digest))
        found.append(serving)
    return found


def is_sound(serving: Serving) -> bool:
    ready = all(each.state == "ready" for each in serving.versions if each.weight)
    return ready and sum(each.weight for each in serving.versions) == 100


@given(servings(), some.sampled_from(DIGESTS), some.integers(0, 99), some.integers(0, 100))
def test_a_candidate_gets_its_share_and_no_more(serving: Serving, digest: str, share: int, mirror: int) -> None:
    stable = serving.main(besides=digest)
    try:
        plan = traffic.start(serving, digest, share, mirror)
    except UserError:
        others = [each for each in serving.versions if each.weight and each.digest != digest]
        assert len(others) != 1
        return
    assert stable is not None
    after = carried_out(serving, plan)
    assert all(is_sound(each) for each in after)
    last = after[-1] if after else serving
    assert last.traffic.weights.get(digest, 0) == share
    assert last.traffic.weights[stable.digest] == 100 - share
    assert last.traffic.shadow.get(digest, 0) == mirror
    assert not traffic.start(last, digest, share, mirror), "given again, there is nothing to do"


@given(servings(), some.sampled_from(DIGESTS), some.booleans())
def test_going_back_gives_all_to_one_whatever_there_is(serving: Serving, digest: str, unload: bool) -> None:
    plan = traffic.back(serving, digest, unload=unload)
    after = carried_out(serving, plan)
    assert all(is_sound(each) for each in after)
    last = after[-1] if after else serving
    assert last.traffic == TrafficSplit({digest: 100})
    assert not unload or [each.digest for each in last.versions] == [digest]
    assert not traffic.back(last, digest, unload=unload)


@given(servings(), some.sampled_from(DIGESTS))
def test_only_what_is_ready_is_promoted(serving: Serving, digest: str) -> None:
    if not serving.is_ready(digest):
        with pytest.raises(UserError, match="not ready"):
            traffic.promote(serving, digest)
        return
    plan = traffic.promote(serving, digest)
    assert plan.load is None
    assert all(is_sound(each) for each in carried_out(serving, plan))


def test_what_has_all_requests_is_no_candidate() -> None:
    serving = Serving((HeldVersion(A, "ready", 100), HeldVersion(B, "ready", 0)))
    with pytest.raises(UserError, match="has all requests already"):
        traffic.start(serving, A, 10, 0)
    with pytest.raises(UserError, match="nothing beside which"):
        traffic.start(Serving(()), A, 10, 0)


def test_one_candidate_at_a_time() -> None:
    serving = Serving((HeldVersion(A, "ready", 90), HeldVersion(B, "ready", 10)))
    with pytest.raises(UserError, match="another candidate") as caught:
        traffic.start(serving, C, 10, 0)
    assert "rollback" in str(caught.value)
    assert traffic.start(serving, B, 50, 0).shift == TrafficSplit({A: 50, B: 50})


def test_the_candidate_is_the_one_beside_the_main_one() -> None:
    main, share, copies = HeldVersion(A, "ready", 100), HeldVersion(B, "ready", 10), HeldVersion(B, "ready", 0, 5)
    assert traffic.candidate_of(Serving((main,))) is None
    assert traffic.candidate_of(Serving((replace(main, weight=90), share))) == share
    assert traffic.candidate_of(Serving((main, copies))) == copies
    assert traffic.candidate_of(Serving((main, copies, HeldVersion(C, "ready", 0, 5)))) is None


def test_what_serves_is_told_in_a_line() -> None:
    assert traffic.told(Serving(())) == "nothing serves"
    serving = Serving((HeldVersion(A, "ready", 90), HeldVersion(B, "ready", 10, 20), HeldVersion(C, "failed", 0)))
    assert traffic.told(serving) == f"{A[:12]} 90 %, {B[:12]} 10 % and copies of 20 %"
