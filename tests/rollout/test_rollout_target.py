"""What a rollout needs, all that it goes through have."""

from __future__ import annotations

import inspect

import pytest
from rollout_world import MemoryTarget

from mlopt.rollout.embedded import EmbeddedTarget
from mlopt.rollout.envoy import EnvoyTarget
from mlopt.rollout.registry import ImageReference, OciRegistry
from mlopt.rollout.tag_target import TagTarget
from mlopt.rollout.target import RolloutTarget

TARGETS: tuple[RolloutTarget, ...] = (
    EmbeddedTarget("http://127.0.0.1:1/", "digits", "t"), EnvoyTarget("http://127.0.0.1:2", "digits"),
    TagTarget(OciRegistry(), ImageReference.parse("127.0.0.1:3/digits:live")), MemoryTarget.holding(a=100),
)  # fmt: skip
NEEDED = ("serving", "load", "shift", "unload", "address", "observed")


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: type(each).__name__)
def test_each_has_all_of_it(target: RolloutTarget) -> None:
    for name in NEEDED:
        wanted = inspect.signature(getattr(RolloutTarget, name)).parameters
        assert list(inspect.signature(getattr(type(target), name)).parameters) == list(wanted)
    assert target.model == "digits"


def test_each_is_called_by_its_kind_and_place() -> None:
    names = [each.name for each in TARGETS[:3]]
    assert names == ["embedded http://127.0.0.1:1", "envoy http://127.0.0.1:2", "registry 127.0.0.1:3/digits:live"]
