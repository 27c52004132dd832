"""Runtimes that crash, hang, spin, raise what they like, and answer wrongly: a run ends well without them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from searching import odd_runtimes, optimize, recipe, why
from small_graphs import write_classifier

from mlopt.core import packages
from mlopt.core.worker import run_in_worker
from mlopt.measure import first_look
from mlopt.results.report import Report

PATIENCE = 8.0
CAUSES = {
    "crashes": "it was ended by SIGSEGV",
    "hangs": "it did not answer for",
    "tires": "it did not answer for",
    "strange": "StrangeError: strange",
    "interrupts": "it exited with code 1",
    "leaves": "no licence",
    "grumbles": "LookupError: nothing",
    "chooses": "the runtime odd_chooses could not be asked: KeyError",
    "none": "'NoneType' object has no attribute",
    "nan": "only one of the two models' outputs is NaN or infinite",
    "flat": "probabilities is float32 of rank 1, not float32 of rank 2",
    "double": "probabilities is float64 of rank 2, not float32 of rank 2",
    "wider": "shapes differ",
    "nameless": "the two models have different outputs",
    "random": "plainly wrong: cosine",
    "turned": "plainly wrong: cosine",
    "repeats": "plainly wrong: cosine",
    "spins": "slower",
}
"""What a runtime that behaves like that is told to have done."""


@dataclass(frozen=True)
class Done:
    """A run, and the processes that it left behind."""

    report: Report
    left: set[int]


def children() -> set[int]:
    """The processes that come from this one, at any remove, and have not ended."""
    parents, found = {}, set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:  # it ended just now
                continue
            parents[int(folder.name)] = int(parent)
            found |= {int(folder.name)} if state != "Z" else set()
    own = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    return own & found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run for all of them: each is in the others' way, and none is to be."""
    folder = tmp_path_factory.mktemp("odd")
    write_classifier(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLOPT_CACHE", str(folder / "cache"))
        patch.setenv("MLOPT_CONFIG", str(folder / "config"))
        patch.setattr(first_look, "PATIENCE", PATIENCE)
        odd_runtimes(folder, patch, *CAUSES)
        assert run_in_worker(folder / "log", os.getpid) != os.getpid()  # so that what starts workers is there
        before = children()
        made = optimize(folder, recipe("classifier", passes=[]))
    return Done(made.report, children() - before)


def test_the_run_ends_well_in_onnx_runtime(done: Done) -> None:
    assert (done.report.verdict, done.report.final.runtime) == ("pass", "onnxruntime")


@pytest.mark.parametrize("behaviour", CAUSES)
def test_it_says_why_each_of_them_is_not_shipped(done: Done, behaviour: str) -> None:
    found = why(done.report, f"odd_{behaviour}")
    assert found
    assert [each for each in found if CAUSES[behaviour] not in each] == []


def test_no_process_is_left_behind(done: Done) -> None:
    assert done.left == set()


BROKEN = {
    "import os; os.abort()": "it was ended by SIGABRT",
    "import time; time.sleep(3600)": "it did not answer for",
    "raise ImportError('libopenvino.so: cannot open shared object file')": "OpenVINO is not installed: libopenvino.so",
}


@pytest.fixture
def _versions_are_read_anew() -> Iterator[None]:
    packages.version.cache_clear()
    yield
    packages.version.cache_clear()


@pytest.mark.usefixtures("_versions_are_read_anew")
@pytest.mark.parametrize("code", BROKEN)
def test_a_library_that_cannot_be_imported_is_in_nobodys_way(
    classifier: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Its wheel is there, and that is all that can be known of it without trying."""
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text(code)
    info = tmp_path / "openvino-2026.4.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openvino\nVersion: 2026.4.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(first_look, "PATIENCE", PATIENCE)
    made = optimize(tmp_path, recipe("classifier"))
    assert (made.report.verdict, made.report.final.runtime) == ("pass", "onnxruntime")
    found = why(made.report, "openvino")
    assert found
    assert [each for each in found if BROKEN[code] not in each] == []
    assert any("the chain came to nothing in openvino" in note for note in made.report.notes)
