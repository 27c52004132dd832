"""The steps: only what was verified comes up, all can be given again, and the way back is that of the ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from rollout_world import A, B, C, MemoryTarget, a_book, artifact, root_of, stranger

from mlopt.core.errors import IntegrityError, UserError
from mlopt.rollout import steps
from mlopt.rollout.conduct import LedgerBook
from mlopt.rollout.steps import StartRequest
from mlopt.rollout.traffic import HeldVersion


@pytest.fixture
def book(tmp_path: Path) -> LedgerBook:
    return a_book(tmp_path)


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    return artifact(tmp_path, 2)


@pytest.fixture
def target() -> MemoryTarget:
    return MemoryTarget.holding(a=100)


def test_a_candidate_comes_up_with_its_share(target: MemoryTarget, book: LedgerBook, candidate: Path) -> None:
    done = steps.start(target, book, StartRequest(candidate, None, share=20, mirror=5, why="faster"))
    digest = root_of(candidate)
    assert done.digest == digest
    found = done.after.get(digest)
    assert found is not None
    assert (found.weight, found.shadow) == (20, 5)
    line = book.records(target)[-1]
    assert (line.artifact, line.detail["version"], line.why) == (str(candidate), 2, "faster")


def truncated(candidate: Path) -> StartRequest:
    os.truncate(candidate / "model.onnx", 3)
    return StartRequest(candidate, None)


def of_another_signer(candidate: Path) -> StartRequest:
    return StartRequest(artifact(candidate.parent.parent / "other", 2, stranger()), None)


def older(candidate: Path) -> StartRequest:
    return StartRequest(artifact(candidate.parent.parent, 1), None)


def of_another_digest(candidate: Path) -> StartRequest:
    return StartRequest(candidate, None, digest="f" * 64)


def unsigned(candidate: Path) -> StartRequest:
    (candidate / "model.sig").unlink()
    return StartRequest(candidate, None)


@pytest.mark.parametrize("broken", [truncated, of_another_signer, older, of_another_digest, unsigned])
def test_what_is_not_what_it_should_be_never_serves(
    broken: Any, target: MemoryTarget, book: LedgerBook, candidate: Path
) -> None:
    target.versions[A] = HeldVersion(A, "ready", 100, 0, 2)
    with pytest.raises(IntegrityError):
        steps.start(target, book, broken(candidate))
    assert target.weights == {"a": 100}
    assert set(target.calls) == {"serving"}
    assert not book.path.exists()


def test_another_model_of_the_same_signer_is_refused(book: LedgerBook, candidate: Path) -> None:
    target = MemoryTarget.holding(a=100)
    target.model = "letters"
    with pytest.raises(IntegrityError, match="another one"):
        steps.start(target, book, StartRequest(candidate, None))
    assert steps.start(target, book, StartRequest(candidate, None, any_name=True)).changed


def test_promote_and_back(target: MemoryTarget, book: LedgerBook, candidate: Path) -> None:
    digest = steps.start(target, book, StartRequest(candidate, None)).digest
    assert steps.promote(target, book, "good").digest == digest
    assert target.weights == {digest[:1]: 100}
    assert not steps.promote(target, book, "good").changed, "again"
    assert steps.rollback(target, book, "bad").digest == A
    assert target.weights == {"a": 100}
    again = steps.rollback(target, book, "bad")
    assert (again.changed, again.digest) == (False, A)
    assert target.weights == {"a": 100}
    assert [each.step for each in book.records(target) if each.phase == "done"] == ["start", "promote", "rollback"]


def test_back_without_a_promotion(target: MemoryTarget, book: LedgerBook, candidate: Path) -> None:
    steps.start(target, book, StartRequest(candidate, None))
    steps.rollback(target, book, "")
    assert target.weights == {"a": 100}


def test_back_to_a_version_that_was_let_go(target: MemoryTarget, book: LedgerBook, tmp_path: Path) -> None:
    """It is loaded again, from where the ledger says that it was."""
    first, second = artifact(tmp_path, 2), artifact(tmp_path, 3)
    one = steps.start(target, book, StartRequest(first, None)).digest
    steps.promote(target, book, "", unload=True)
    assert set(target.versions) == {one}
    steps.start(target, book, StartRequest(second, None))
    steps.promote(target, book, "", unload=True)
    assert one not in target.versions
    assert steps.rollback(target, book, "").digest == one
    assert book.records(target)[-1].artifact == str(first)
    assert target.versions[one].weight == 100


def test_further_back_by_digest(target: MemoryTarget, book: LedgerBook, tmp_path: Path) -> None:
    for version in (2, 3):
        steps.start(target, book, StartRequest(artifact(tmp_path, version), None))
        steps.promote(target, book, "")
    assert steps.rollback(target, book, "", digest=A[:8]).digest == A
    with pytest.raises(UserError, match="no one version"):
        steps.rollback(target, book, "", digest="0123456789")
    with pytest.raises(UserError, match="no one version"):
        steps.rollback(target, book, "", digest=A[:4])


def test_without_a_ledger_there_is_no_way_back(target: MemoryTarget, book: LedgerBook) -> None:
    with pytest.raises(UserError, match="knows nothing that served before"):
        steps.rollback(target, book, "")


def test_without_a_candidate_there_is_nothing_to_promote(target: MemoryTarget, book: LedgerBook) -> None:
    with pytest.raises(UserError, match="no candidate"):
        steps.promote(target, book, "")


def test_a_candidate_that_only_gets_copies_is_promoted(target: MemoryTarget, book: LedgerBook, candidate: Path) -> None:
    digest = steps.start(target, book, StartRequest(candidate, None, share=0, mirror=20)).digest
    assert target.weights == {"a": 100}
    assert steps.promote(target, book, "").digest == digest


def test_a_candidate_that_the_ledger_does_not_know_is_promoted(book: LedgerBook) -> None:
    target = MemoryTarget.holding(b=90, c=10)
    assert steps.promote(target, book, "").digest == C
    assert steps.rollback(target, book, "").digest == B


def test_status(target: MemoryTarget, book: LedgerBook, candidate: Path) -> None:
    digest = steps.start(target, book, StartRequest(candidate, None)).digest
    steps.hold(target, book, "the owner is away")
    found = steps.status(target, book)
    assert (found.held, found.unfinished, found.back) == (True, None, A)
    assert found.last is not None
    assert found.last.digest == digest


def test_a_step_waits_for_none_that_is_under_way(target: MemoryTarget, book: LedgerBook, candidate: Path) -> None:
    with book.stepping(), pytest.raises(UserError, match="another step"):
        steps.start(target, book, StartRequest(candidate, None))
    assert target.weights == {"a": 100}
