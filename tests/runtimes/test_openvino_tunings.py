"""What is tried of OpenVINO: nothing lossy, streams only where several ask at a time, and what is given is left out."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from campaign_parts import model

from mlopt.core.target import Objective
from mlopt.runtimes.openvino import RUNTIME
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.openvino_tunings import tunings


def found(tmp_path: Path, objective: Objective, **options: object) -> dict[str, OpenVinoOptions]:
    base = OpenVinoOptions.model_validate({"threads": 4, **options})
    return dict(tunings(model(tmp_path, "net"), base, objective))


def test_a_single_inference_has_threads_and_nothing_else(tmp_path: Path) -> None:
    ways = found(tmp_path, Objective.LATENCY)
    assert {name: way.threads for name, way in ways.items()} == {"threads: 2": 2, "threads: 1": 1, "threads: 3": 3}
    assert {way.model_copy(update={"threads": 4}) for way in ways.values()} == {OpenVinoOptions(threads=4)}
    assert found(tmp_path, Objective.LATENCY, threads=1) == {}


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_throughput_has_streams_that_the_threads_suffice_for(tmp_path: Path, threads: int) -> None:
    ways = found(tmp_path, Objective.THROUGHPUT, threads=threads).values()
    streams = {way.streams for way in ways if way.hint == "throughput"}
    assert {1, threads} <= streams
    assert max(streams) == threads
    assert {(way.precision, way.pinning) for way in ways} == {("exact", False)}


def test_what_is_given_is_no_change(tmp_path: Path) -> None:
    base = OpenVinoOptions(threads=2, hint="throughput", streams=2)
    ways = tunings(model(tmp_path, "net"), base, Objective.THROUGHPUT)
    assert base not in ways.values()
    assert len(set(ways.values())) == len(ways)


def test_the_runtime_names_them() -> None:
    assert cast(object, RUNTIME.tunings) is tunings
