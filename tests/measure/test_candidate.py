"""What is measured, as data."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from campaign_parts import measured, model, run_of
from deployables import in_runtime

from mlopt.measure.candidate import Candidate


def test_a_candidate_is_one_model_served_to_one_client_unless_told_otherwise(tmp_path: Path) -> None:
    deployed = in_runtime(model(tmp_path, "net"), threads=3)
    one = Candidate("net", deployed)
    assert (one.model, one.options, one.batch_size, one.concurrency) == (deployed.model, deployed.options, 1, 1)
    with pytest.raises(FrozenInstanceError):
        one.batch_size = 2  # type: ignore[misc]


def test_the_blocks_of_a_run_are_those_of_all_that_gave_any(tmp_path: Path) -> None:
    """What a lost candidate gave before it was lost is kept with the raw samples."""
    kept, lost, gone = (Candidate(name, in_runtime(model(tmp_path, name))) for name in ("kept", "lost", "gone"))
    run = run_of((kept, lost, gone), {"lost": "it died", "gone": "it died"}, partial={"lost": measured(lost, 2)})
    assert list(run.blocks) == ["kept", "lost"]
    assert [len(blocks) for blocks in run.blocks.values()] == [20, 4]
