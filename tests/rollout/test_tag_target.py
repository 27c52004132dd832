"""A tag as a target: moved and moved back by the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_registry
from rollout_world import a_book, artifact
from toy_registry import ToyRegistry

from mlopt.artifact.verify import verify
from mlopt.core.errors import UserError
from mlopt.rollout import steps
from mlopt.rollout.registry import ImageReference, OciRegistry
from mlopt.rollout.tag_target import TagTarget, moved
from mlopt.rollout.traffic import TrafficSplit


@pytest.fixture
def server() -> Iterator[ToyRegistry]:
    with toy_registry.running() as registry:
        yield registry


@pytest.fixture
def target(server: ToyRegistry) -> TagTarget:
    return TagTarget(OciRegistry(), ImageReference.parse(f"{server.host}/models/digits:live"))


def pushed(server: ToyRegistry, folder: Path, version: int) -> str:
    place = ImageReference.parse(f"{server.host}/models/digits:v{version}")
    return OciRegistry().push(verify(artifact(folder, version)), place)


def test_moved_and_back(server: ToyRegistry, target: TagTarget, tmp_path: Path) -> None:
    book, digests = a_book(tmp_path), [pushed(server, tmp_path, version) for version in (1, 2)]
    assert target.serving().versions == ()
    for digest in digests:
        assert moved(target, book, digest, "").changed
        assert server.tags["live"] == digest
        assert not moved(target, book, digest, "").changed
    steps.rollback(target, book, "it was slow")
    assert server.tags["live"] == digests[0]
    assert not steps.rollback(target, book, "").changed
    done = [each for each in book.records(target) if each.phase == "done"]
    assert [each.step for each in done] == ["tag", "tag", "rollback"]


def test_what_is_not_in_the_registry_leaves_the_tag(server: ToyRegistry, target: TagTarget, tmp_path: Path) -> None:
    book, digest = a_book(tmp_path), pushed(server, tmp_path, 1)
    moved(target, book, digest, "")
    with pytest.raises(UserError, match="nothing of this name"):
        moved(target, book, "f" * 64, "")
    assert server.tags["live"] == digest


def test_a_tag_shares_nothing_out(target: TagTarget) -> None:
    with pytest.raises(UserError, match="points to one artifact"):
        target.shift(TrafficSplit({"a" * 64: 90, "b" * 64: 10}))
    with pytest.raises(UserError, match="counts no requests"):
        target.observed()


def test_a_digest_is_no_tag(server: ToyRegistry) -> None:
    with pytest.raises(UserError, match="no tag"):
        TagTarget(OciRegistry(), ImageReference.parse(f"{server.host}/digits@sha256:{'a' * 64}"))
