"""What the ledger's records answer: where a rollback leads, what was cut off, and how often one looked."""

from __future__ import annotations

from typing import Any

import pytest
from rollout_world import A, B, C

from mlopt.rollout import history
from mlopt.rollout.chain import NOTHING_BEFORE, RolloutRecord, ServedShare


def record(number: int, step: str, digest: str, before: dict[str, int], after: dict[str, int], **more: Any) -> Any:
    return RolloutRecord(
        **{
            "number": number, "previous": NOTHING_BEFORE, "time": "2026-11-30T10:00:00Z", "target": "t", "model": "m",
            "run": f"{number:016x}", "step": step, "phase": "done", "digest": digest, "before": shares(before),
            "after": shares(after), "why": "", **more,
        }
    )  # fmt: skip


def shares(weights: dict[str, int]) -> dict[str, ServedShare]:
    return {digest: ServedShare(weight=weight) for digest, weight in weights.items()}


START = record(0, "start", B, {A: 100}, {A: 90, B: 10})
PROMOTE = record(1, "promote", B, {A: 90, B: 10}, {B: 100})
BACK = record(2, "rollback", A, {B: 100}, {A: 100})


@pytest.mark.parametrize(
    ("records", "leads"),
    [
        ([], None), ([START], A), ([START, PROMOTE], A), ([START, PROMOTE, BACK], None),
        ([START, PROMOTE, record(2, "start", C, {B: 100}, {B: 90, C: 10})], B),
        ([START, PROMOTE, record(2, "start", C, {B: 100}, {B: 90, C: 10}), record(3, "rollback", B, {B: 90}, {B: 100}),
          ], None),
        ([START, record(1, "start", B, {A: 90, B: 10}, {A: 50, B: 50})], A),
        ([START, record(1, "hold", A, {A: 90, B: 10}, {A: 90, B: 10})], A),
    ],
)  # fmt: skip
def test_where_a_rollback_leads(records: list[RolloutRecord], leads: str | None) -> None:
    assert history.way_back(records) == leads


@pytest.mark.parametrize("phase", ["begun", "failed"])
def test_a_step_that_did_not_end_counts_only_if_it_was_cut_off(phase: str) -> None:
    begun = record(2, "start", C, {B: 100}, {B: 90, C: 10}, phase="begun")
    ended = begun.model_copy(update={"number": 3, "phase": phase})
    records = [START, PROMOTE, begun, ended]
    assert history.way_back(records) == (B if phase == "begun" else A)
    assert (history.unfinished(records) is not None) is (phase == "begun")


def test_a_rollback_that_was_cut_off_goes_on() -> None:
    begun = BACK.model_copy(update={"phase": "begun"})
    assert history.way_back([START, PROMOTE, begun]) == A
    assert history.unfinished([START, PROMOTE, begun]) == begun
    assert history.unfinished([START, PROMOTE, begun, BACK]) is None


def test_records_of_other_targets_and_models_do_not_count() -> None:
    other = START.model_copy(update={"target": "elsewhere"})
    third = START.model_copy(update={"model": "else"})
    assert history.of([other, START, third], "t", "m") == (START,)


def test_a_hold_lasts_until_the_next_move() -> None:
    held = record(1, "hold", A, {A: 90, B: 10}, {A: 90, B: 10})
    assert history.is_held([START, held])
    assert history.is_held([START, held, record(2, "analyze", B, {}, {})])
    assert not history.is_held([START, held, PROMOTE])
    assert not history.is_held([])


def test_what_served_is_known_with_the_latest_last() -> None:
    assert history.served([START, PROMOTE]) == (A, B)
    assert history.served([START, PROMOTE, BACK]) == (B, A)


def test_looks_are_counted_since_the_candidate_was_started_last() -> None:
    def looked(number: int, digest: str, looks: int) -> RolloutRecord:
        return record(number, "analyze", digest, {}, {}, detail={"looks": looks})

    records = [START, looked(1, B, 12), looked(2, C, 5), looked(3, B, 3)]
    assert history.looks_spent(records, B) == 15
    assert history.looks_spent([*records, record(4, "start", B, {}, {}), looked(5, B, 2)], B) == 2
    assert history.looks_spent([], B) == 0


def test_an_artifact_is_where_it_was_loaded_from_last() -> None:
    records = [START.model_copy(update={"artifact": "/one"}), PROMOTE, START.model_copy(update={"artifact": "/two"})]
    assert history.artifact_of(records, B) == "/two"
    assert history.artifact_of(records, A) is None
