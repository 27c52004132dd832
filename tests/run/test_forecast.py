"""A look ahead: what a run would find in the cache, whichever of its optional steps stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_models import dense

from mlopt.core.cache_entry import Entry, Key
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.run.forecast import foresee, outlook
from mlopt.run.optimize import planned_for
from mlopt.run.outlook import Outlook
from mlopt.run.request import Request
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

DATA = "{calibration: {source: c.npz}, evaluation: {source: x.npz}}"
OPEN, WHY_OPEN = None, "depends on a step above that has to run"


class Known:
    """A cache with the entries of some labels, which remembers what it was asked for."""

    def __init__(self, folder: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
        self.results = results
        self.folder = folder
        self.asked: list[Key] = []

    def get(self, key: Key) -> Entry | None:
        self.asked.append(key)
        found = self.results.get(key.label)
        only_for = (found or {}).get("only for")
        if found is None or (only_for is not None and key.parts["input"] != only_for):
            return None
        return Entry(self.folder / key.label.rpartition(" ")[2], key.label, key.parts, found, {})

    def why_missing(self, _key: Key) -> str:
        return "not done before"

    def inputs_of(self, label: str) -> list[str]:
        """Return the digests of the models that a step was looked up for."""
        return [key.parts["input"] for key in self.asked if key.label == label]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a model and its data, which the cache has if its label is named."""
    monkeypatch.chdir(tmp_path)
    dense(tmp_path / "net.onnx", width=4)
    for seed, (name, role) in enumerate((("x", "evaluation"), ("c", "calibration"))):
        values = np.random.default_rng(seed).random((6, 4), np.float32)
        np.savez(tmp_path / f"{name}.npz", x=values)
        store(Samples({"x": values}), tmp_path / "kept" / role / "out", name)
    return tmp_path


DATA_KEPT: Mapping[str, Mapping[str, Any]] = {"net: evaluation": {}, "net: calibration": {}}


def foreseen(passes: str, known: Mapping[str, Mapping[str, Any]], data: str = DATA) -> tuple[list[Outlook], Known]:
    Path("r.yaml").write_text(
        f"apiVersion: mlopt/v1\nname: net\nmodel: {{source: net.onnx}}\ndata: {data}\npasses: {passes}\n"
    )
    cache = Known(Path("kept").resolve(), known)
    with planned_for(Request(source=Path("r.yaml"))) as planned:
        return outlook(replace(planned, started=replace(planned.started, store=cache))), cache  # type: ignore[arg-type]


def cached(rows: Sequence[Outlook]) -> dict[str, bool | None]:
    return {row.name: row.cached for row in rows}


def source() -> str:
    return open_onnx(Path("net.onnx")).digest


def test_the_source_the_data_and_the_steps_are_told_in_order() -> None:
    rows, _ = foreseen("[simplify, quantize: {mode: static}]", DATA_KEPT)
    assert cached(rows) == {
        "source": True, "evaluation": True, "calibration": True, "simplify": False, "quantize": OPEN,
    }  # fmt: skip
    assert [row.why for row in rows[-2:]] == ["not done before", WHY_OPEN]


def test_a_step_is_looked_up_by_what_the_one_before_it_made() -> None:
    rows, cache = foreseen("[simplify, fuse]", {**DATA_KEPT, "net: 1 simplify": {"digest": "simplified"}})
    assert cached(rows)["simplify"]
    assert cache.inputs_of("net: 1 simplify") == [source()]
    assert cache.inputs_of("net: 2 fuse") == ["simplified"]


def test_an_optional_step_may_stay_or_go_so_both_ways_are_looked_up() -> None:
    both = {"net: 1 simplify": {"digest": "simplified"}, "net: 2 fuse": {"digest": "f", "only for": source()}}
    rows, cache = foreseen("[simplify: {optional: true}, fuse]", {**DATA_KEPT, **both})
    assert cache.inputs_of("net: 2 fuse") == ["simplified", source()]
    assert cached(rows)["fuse"]
    assert [row.optional for row in rows if row.name in ("simplify", "fuse")] == [True, False]


def test_after_a_step_that_refused_comes_what_there_was_before() -> None:
    rows, cache = foreseen("[simplify, fuse]", {**DATA_KEPT, "net: 1 simplify": {"refused": "nothing to do"}})
    assert cached(rows)["simplify"]
    assert cache.inputs_of("net: 2 fuse") == [source()]


def test_how_a_pass_chose_to_run_its_model_is_part_of_what_comes_next() -> None:
    chosen = {"runtime": "onnxruntime", "options": OnnxRuntimeOptions(threads=3).model_dump(mode="json")}
    _, cache = foreseen(
        "[simplify, fuse]", {**DATA_KEPT, "net: 1 simplify": {"digest": "simplified", "deployed": chosen}}
    )
    assert [key.parts["deployed"] for key in cache.asked if key.label == "net: 2 fuse"] == [chosen]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("net: calibration", {"simplify": False, "quantize": OPEN}), ("net: evaluation", {"simplify": OPEN})],
)
def test_data_that_are_still_to_be_read_hold_up_the_steps_that_need_them(
    missing: str, expected: dict[str, bool | None]
) -> None:
    known = {label: result for label, result in DATA_KEPT.items() if label != missing}
    found = cached(foreseen("[simplify, quantize: {mode: static}]", known)[0])
    assert {name: found[name] for name in expected} == expected


def test_without_calibration_data_read_a_lossless_step_is_looked_up_and_a_lossy_one_is_open() -> None:
    known = {"net: evaluation": {}, "net: 1 simplify": {"digest": "simplified"}}
    rows, cache = foreseen("[simplify, quantize: {mode: static}]", known)
    assert cached(rows) == {
        "source": True, "evaluation": True, "calibration": False, "simplify": True, "quantize": OPEN,
    }  # fmt: skip
    assert cache.inputs_of("net: 2 quantize") == []


def test_samples_that_are_made_up_are_those_of_the_model() -> None:
    rows, cache = foreseen("[simplify]", {}, data="{}")
    assert (rows[1].name, rows[1].detail, rows[1].cached) == ("evaluation", "synthetic samples", False)
    assert [key.parts["made up for"] for key in cache.asked if key.label == "net: evaluation"] == [source()]


def test_notes_on_the_order_of_steps_come_along_and_nothing_is_made(here: Path) -> None:
    before = sorted(path.name for path in here.iterdir())
    rows, notes = foresee(Request(source=Path("net.onnx"), overrides=("passes=[fuse, quantize]",)))
    assert [row.name for row in rows] == ["source", "evaluation", "fuse", "quantize"]
    assert any("`fuse` stands before `quantize`" in note for note in notes)
    assert sorted(path.name for path in here.iterdir()) == before
