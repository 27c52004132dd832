"""What a server hands over is sketched by model and artifact; what there is no time for is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sketched import INPUTS, OUTPUTS, PLAN, document, rows

from mlopt.sketches import Sketches, SketchObserver, Thrift, plan_in, plan_like, write

A, B = "a" * 64, "b" * 64


def test_rows_are_told_apart_by_who_answered() -> None:
    observer = SketchObserver({A: PLAN, B: plan_like(document(20))}.get)
    for model, digest, count in (("m", A, 3), ("m", B, 5), ("m", A, 4), ("other", A, 2), ("m", "c" * 64, 9)):
        observer.seen(model, digest, *rows(count))
    found = {digest: Sketches.model_validate(each) for digest, each in observer.document("m").items()}
    assert {digest: (each.rows, each.digest) for digest, each in found.items()} == {A: (7, A), B: (5, B)}
    assert found[B].tensors[0].parts[0].below is not None
    assert observer.document("unknown") == {}


def test_a_folder_says_by_its_sketches_what_is_sketched(tmp_path: Path) -> None:
    assert plan_in(tmp_path, INPUTS, OUTPUTS) == PLAN
    held = document(20)
    (tmp_path / "sketches.json").write_bytes(write(held))
    assert plan_in(tmp_path, INPUTS, OUTPUTS) == plan_like(held)


def test_what_there_is_no_time_for_is_offered_and_not_sketched() -> None:
    thrift = Thrift(0.0, clock=iter(np.arange(0, 1000, 10.0)).__next__)
    observer = SketchObserver(lambda _: PLAN, thrift)
    for _ in range(4):
        observer.seen("m", A, *rows(6))
    found = observer.document("m")[A]
    assert (found["rows"], found["offered"]) == (6, 24)
