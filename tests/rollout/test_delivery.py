"""The summary of a delivery: what serves by the ledger, and the figures of the report that was signed with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from packed_artifact import pack
from rollout_world import A, MemoryTarget, a_book, artifact, own_signer, root_of

from mlopt import report
from mlopt.artifact.verify import verify
from mlopt.rollout import steps
from mlopt.rollout.conduct import LedgerBook
from mlopt.rollout.delivery import delivered
from mlopt.rollout.steps import StartRequest


@pytest.fixture
def book(tmp_path: Path) -> LedgerBook:
    return a_book(tmp_path)


def test_what_serves_with_the_figures_of_its_report(book: LedgerBook, tmp_path: Path) -> None:
    target = MemoryTarget.holding(a=100)
    packed = pack(tmp_path, own_signer()).path
    steps.start(target, book, StartRequest(packed, None))
    steps.promote(target, book, "")
    (found,) = delivered(book.records(target), [], verify, 0.5)
    kept = report.read(packed / "report.json")
    assert (found.digest, found.no_evidence, found.steps, found.rollbacks) == (root_of(packed), None, 2, 0)
    assert found.source is not None
    assert found.shipped is not None
    assert found.shipped.throughput_per_s == kept.final.throughput_per_s
    assert found.source.p50_ms == kept.baseline.latency_ms.p50
    assert found.speedup == kept.speedup.median
    hours = 1e6 / kept.final.throughput_per_s / 3600
    assert found.shipped.cost_per_million == pytest.approx(hours / 2)


def test_what_serves_is_what_has_the_most_traffic(book: LedgerBook, tmp_path: Path) -> None:
    target = MemoryTarget.holding(a=100)
    steps.start(target, book, StartRequest(artifact(tmp_path, 2), None))
    (found,) = delivered(book.records(target), [], verify)
    assert (found.digest, found.steps) == (A, 1)
    steps.promote(target, book, "")
    steps.rollback(target, book, "")
    (found,) = delivered(book.records(target), [], verify)
    assert (found.digest, found.steps, found.rollbacks) == (A, 3, 1)


def test_what_does_not_verify_is_not_cited(book: LedgerBook, tmp_path: Path) -> None:
    target = MemoryTarget.holding(a=100)
    packed = pack(tmp_path, own_signer()).path
    steps.start(target, book, StartRequest(packed, None))
    steps.promote(target, book, "")
    (packed / "report.json").write_text("{}")
    (found,) = delivered(book.records(target), [], verify)
    assert found.shipped is None
    assert "changed after it was signed" in str(found.no_evidence)
    other = artifact(tmp_path, 2)
    (found,) = delivered(book.records(target), [other], partial(verify, name="digits"))
    assert "another one" in str(found.no_evidence)


def test_an_empty_ledger_delivers_nothing() -> None:
    assert delivered((), [], verify) == ()
