"""The embedded server as a target, against one that follows its admin interface and verifies what it loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rollout_world import TOKEN, A, AdminServer, artifact, metrics_text, root_of, serving

from mlopt.core.errors import IntegrityError, UserError
from mlopt.rollout.calls import RefusedError, UnreachableError
from mlopt.rollout.embedded import EmbeddedTarget
from mlopt.rollout.observed import Observed
from mlopt.rollout.traffic import HeldVersion, TrafficSplit


@pytest.fixture
def server() -> Iterator[AdminServer]:
    with serving("digits", {A: HeldVersion(A, "ready", 100, 0, 1)}) as found:
        yield found


@pytest.fixture
def target(server: AdminServer) -> EmbeddedTarget:
    return EmbeddedTarget(server.url, "digits", TOKEN)


def test_a_version_is_loaded_given_traffic_and_let_go(
    target: EmbeddedTarget, server: AdminServer, tmp_path: Path
) -> None:
    directory = artifact(tmp_path, 2)
    digest = root_of(directory)
    target.load(str(directory), digest)
    found = target.serving().get(digest)
    assert found == HeldVersion(digest, "ready", 0, 0, 2)
    target.shift(TrafficSplit({A: 90, digest: 10}, {digest: 20}))
    assert target.serving().traffic == TrafficSplit({A: 90, digest: 10}, {digest: 20})
    with pytest.raises(RefusedError, match="refused"):
        target.unload(digest)
    target.shift(TrafficSplit({A: 100}))
    target.unload(digest)
    assert set(server.versions) == {A}


def test_what_the_server_refuses_is_a_failure_of_integrity(target: EmbeddedTarget, tmp_path: Path) -> None:
    directory = artifact(tmp_path, 2)
    digest = root_of(directory)
    with pytest.raises(IntegrityError, match="refused the candidate"):
        target.load(str(directory), "f" * 64)
    (directory / "model.onnx").write_bytes(b"another")
    with pytest.raises(IntegrityError, match="refused the candidate") as caught:
        target.load(str(directory), digest)
    assert "changed after it was signed" in str(caught.value)
    assert target.serving().traffic == TrafficSplit({A: 100})


def test_an_older_version_is_loaded_only_on_the_way_back(
    target: EmbeddedTarget, server: AdminServer, tmp_path: Path
) -> None:
    server.versions[A] = HeldVersion(A, "ready", 100, 0, 3)
    directory = artifact(tmp_path, 2)
    with pytest.raises(IntegrityError, match="older"):
        target.load(str(directory), root_of(directory))
    target.load(str(directory), root_of(directory), older=True)
    assert target.serving().is_ready(root_of(directory))


def test_a_version_from_nowhere_cannot_be_loaded(target: EmbeddedTarget) -> None:
    with pytest.raises(UserError, match="nothing says from where"):
        target.load(None, "f" * 64)


def test_a_wrong_token_is_told(server: AdminServer) -> None:
    with pytest.raises(UserError, match="does not take the token"):
        EmbeddedTarget(server.url, "digits", "wrong").serving()


def test_a_model_that_is_not_there_is_told(server: AdminServer) -> None:
    with pytest.raises(UserError, match="no model letters") as caught:
        EmbeddedTarget(server.url, "letters", TOKEN).serving()
    assert "digits" in str(caught.value)


def test_an_answer_that_makes_no_sense_is_refused(target: EmbeddedTarget, server: AdminServer) -> None:
    server.versions[A] = HeldVersion("no digest", "ready", 100)
    with pytest.raises(RefusedError, match="malformed"):
        target.serving()


def test_a_server_that_is_gone_is_told(target: EmbeddedTarget) -> None:
    with pytest.raises(UnreachableError, match="no answer"):
        EmbeddedTarget("http://127.0.0.1:1", "digits", TOKEN).serving()


def test_its_metrics_are_read(target: EmbeddedTarget, server: AdminServer) -> None:
    counts = Observed(10, 2, (0.01, 0.1), (3, 4, 3), same=5, different=1)
    server.metrics = metrics_text("digits", {A: counts}) + metrics_text("else", {A: Observed(1000)})
    assert target.observed() == {A: counts}
