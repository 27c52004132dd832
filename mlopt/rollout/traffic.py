"""What serves, and what has to be done so that something else does: pure, so that every plan can be tried.

Whatever part of a plan is carried out, everything that has traffic is loaded, and shares sum to 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlopt.core.errors import UserError
from mlopt.rollout.chain import ServedShare

VersionState = Literal["ready", "loading", "draining", "failed"]


@dataclass(frozen=True)
class HeldVersion:
    """One version that a target holds."""

    digest: str
    state: VersionState
    weight: int
    """Percent of the requests that it answers."""
    shadow: int = 0
    """Percent of the requests that it gets a copy of; nobody sees its answers to these."""
    version: int | None = None


@dataclass(frozen=True)
class TrafficSplit:
    """How requests are shared out, in percent by digest; who is not named gets none."""

    weights: Mapping[str, int]
    shadow: Mapping[str, int] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, ServedShare]:
        """As the ledger has it, without those that get nothing."""
        digests = [each for each in {**self.weights, **self.shadow} if self.weights.get(each) or self.shadow.get(each)]
        return {
            each: ServedShare(weight=self.weights.get(each, 0), shadow=self.shadow.get(each, 0)) for each in digests
        }


@dataclass(frozen=True)
class Serving:
    """All that a target holds of one model."""

    versions: tuple[HeldVersion, ...]

    def get(self, digest: str) -> HeldVersion | None:
        """Return the version of this digest."""
        return next((each for each in self.versions if each.digest == digest), None)

    def is_ready(self, digest: str) -> bool:
        """Whether it can take traffic."""
        found = self.get(digest)
        return found is not None and found.state == "ready"

    def main(self, besides: str = "") -> HeldVersion | None:
        """Return the version with the largest share, of those that have one, apart from one digest."""
        some = [each for each in self.versions if each.weight > 0 and each.digest != besides]
        return max(some, key=lambda each: each.weight, default=None)

    @property
    def traffic(self) -> TrafficSplit:
        """How requests are shared out now."""
        return TrafficSplit(
            {each.digest: each.weight for each in self.versions if each.weight},
            {each.digest: each.shadow for each in self.versions if each.shadow},
        )

    @property
    def shares(self) -> dict[str, ServedShare]:
        """As the ledger has it, with the versions."""
        known = {each.digest: each.version for each in self.versions}
        return {
            digest: share.model_copy(update={"version": known[digest]}) for digest, share in self.traffic.shares.items()
        }


@dataclass(frozen=True)
class TrafficPlan:
    """What has to be done, in this order; nothing where the target is as it should be."""

    load: str | None = None
    """The digest to load."""
    shift: TrafficSplit | None = None
    unload: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.load or self.shift or self.unload)


def start(serving: Serving, digest: str, share: int, mirror: int) -> TrafficPlan:
    """TrafficPlan to give a candidate its share, and copies of requests, beside what serves.

    Raises ``UserError`` where nothing serves, the candidate already has all, or another one is on its way.
    """
    stable = serving.main(besides=digest)
    if stable is None and serving.traffic.weights.get(digest):
        raise UserError("the candidate has all requests already", got=told(serving), fix="there is nothing to start")
    if stable is None:
        raise UserError(
            "there is nothing beside which the candidate could serve", got=told(serving),
            expected="another version that has traffic", fix="`mlopt serve ARTIFACT` starts with a first one",
        )  # fmt: skip
    others = [each for each in serving.versions if each.weight and each.digest not in {digest, stable.digest}]
    if others:
        raise UserError(
            "another candidate is on its way", got=told(serving), expected="one at a time",
            fix="`mlopt rollout promote` it, or `mlopt rollout rollback`",
        )  # fmt: skip
    weights = {stable.digest: 100 - share, digest: share}
    return _plan(serving, digest, TrafficSplit(_given(weights), _given({digest: mirror})))


def promote(serving: Serving, digest: str, *, unload: bool = False) -> TrafficPlan:
    """TrafficPlan to give a version all traffic; raises ``UserError`` where it is not loaded."""
    if not serving.is_ready(digest):
        raise UserError(
            "the version that should serve is not ready", got=told(serving), expected=digest,
            fix="`mlopt rollout start ARTIFACT` brings it up beside the one that serves",
        )  # fmt: skip
    return _plan(serving, digest, TrafficSplit({digest: 100}), unload=unload)


def back(serving: Serving, digest: str, *, unload: bool = False) -> TrafficPlan:
    """TrafficPlan to give an earlier version all traffic; it is loaded where it is not any more."""
    return _plan(serving, digest, TrafficSplit({digest: 100}), unload=unload)


def candidate_of(serving: Serving) -> HeldVersion | None:
    """Return the one version beside the main one that gets requests, or copies of them."""
    main = serving.main()
    some = [each for each in serving.versions if (each.weight or each.shadow) and each != main]
    return some[0] if len(some) == 1 else None


def told(serving: Serving) -> str:
    """Say what serves, in one line."""
    parts = [
        f"{each.digest[:12]} {each.weight} %" + (f" and copies of {each.shadow} %" if each.shadow else "")
        for each in serving.versions
        if each.weight or each.shadow
    ]
    return ", ".join(parts) or "nothing serves"


def _plan(serving: Serving, digest: str, wanted: TrafficSplit, *, unload: bool = False) -> TrafficPlan:
    others = tuple(each.digest for each in serving.versions if each.digest not in wanted.weights)
    return TrafficPlan(
        load=None if serving.is_ready(digest) else digest,
        shift=None if same(serving.traffic, wanted) else wanted,
        unload=others if unload else (),
    )


def same(one: TrafficSplit, other: TrafficSplit) -> bool:
    """Whether both share requests out alike."""
    return _given(one.weights) == _given(other.weights) and _given(one.shadow) == _given(other.shadow)


def _given(shares: Mapping[str, int]) -> dict[str, int]:
    return {digest: share for digest, share in shares.items() if share}
