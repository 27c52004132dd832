"""What the stages after the search go on with, and the last word that the comparison of the release has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from campaign_parts import PACE, chain, model, run_of
from deployables import in_runtime

from mlopt.core.errors import MeasureError
from mlopt.formats.model import TORCH
from mlopt.measure.candidate import Candidate, Run
from mlopt.results.report import Tried
from mlopt.results.roles import BASELINE, CONTROL, FASTEST, FINAL
from mlopt.run.choice import Choice, of_search, of_way, settled, without
from mlopt.run.forms import Entrant, Selected, forms
from mlopt.run.outcomes import Way
from mlopt.runtimes.base import Deployable


def entrants(folder: Path) -> tuple[Way, dict[str, Entrant]]:
    source, outcomes, _ = chain(folder)
    way = Way("onnxruntime", in_runtime(source, 2), tuple(replace(o, step=optional(o.step)) for o in outcomes))
    return way, {each.name: Entrant(each, each.deployable, True) for each in forms([way], [])}


def optional(step: object) -> object:
    return step.model_copy(update={"optional": True})  # type: ignore[attr-defined]


def tried(one: Deployable, why_not: str | None) -> Tried:
    return Tried(
        model="", digest=one.model.digest, runtime=one.runtime, options=one.options.model_dump(mode="json"),
        size_bytes=1, why_not=why_not,
    )  # fmt: skip


def searched(folder: Path, shipped: str | None, *finalists: str, fastest: str | None = None) -> Choice:
    way, known = entrants(folder)
    rows = tuple(tried(each.deployable, None if name == shipped else "no race tells") for name, each in known.items())
    found = Selected(
        known[shipped] if shipped else None, tuple(known[name] for name in finalists),
        known[fastest] if fastest else None, rows, {"racing": 1.0},
    )  # fmt: skip
    return of_search(found, way, in_runtime(model(folder, "export"), 2), ["a note"])


def run(choice: Choice, **paces: float) -> Run:
    """Measure what the stage would, each at a pace of its own (ms)."""
    kept = [each.kept for each in choice.outcomes if each.kept is not None]
    named = {BASELINE: choice.baseline, CONTROL: choice.baseline, FINAL: kept[-1], **choice.beside}
    known = {FINAL: paces["final"], "runner-up (1)": paces.get("rival", 9.0), FASTEST: paces.get("fastest", 9.0)}
    with pytest.MonkeyPatch.context() as patch:
        for name, pace in known.items():
            patch.setitem(PACE, name, pace)
        return run_of(tuple(Candidate(name, each, 2) for name, each in named.items()))


def test_without_a_choice_the_chain_is_what_it_was(tmp_path: Path) -> None:
    way, _ = entrants(tmp_path)
    choice = of_way(way, way.start, ["a note"])
    assert (choice.outcomes, choice.start, choice.beside, choice.tried) == (way.outcomes, way.start, {}, ())


def test_if_nothing_keeps_the_gates_the_chain_is_judged(tmp_path: Path) -> None:
    choice = searched(tmp_path, None)
    assert [each.status for each in choice.outcomes] == ["applied", "applied", "dropped", "applied"]
    assert choice.tried
    assert choice.notes == ("a note",)


def test_the_steps_end_in_what_is_shipped(tmp_path: Path) -> None:
    choice = searched(tmp_path, "after quantize (3)")
    assert [each.status for each in choice.outcomes] == ["applied", "applied", "applied", "dropped"]


def test_a_rival_that_the_release_shows_to_be_faster_is_shipped(tmp_path: Path) -> None:
    choice = searched(tmp_path, "after simplify (2)", "after fuse (4)")
    before = run(choice, final=1.5, rival=1.0)
    after, swapped = settled(choice, before)
    assert [each.status for each in after.outcomes] == ["applied", "applied", "dropped", "applied"]
    assert swapped.measured[FINAL].blocks == before.measured["runner-up (1)"].blocks
    assert swapped.measured["runner-up (1)"].blocks == before.measured[FINAL].blocks
    assert swapped.measured[FINAL].candidate.name == FINAL
    assert [each.why_not is None for each in after.tried].count(True) == 1
    shipped = next(each for each in after.tried if each.why_not is None)
    assert shipped.digest.startswith("fuse")
    assert after.notes[-1].startswith("the last comparison showed the model after fuse (4), in onnxruntime, to be 1.5")


@pytest.mark.parametrize("pace", [1.005, 0.995, 2.0])
def test_one_that_is_not_measurably_faster_is_not(tmp_path: Path, pace: float) -> None:
    choice = searched(tmp_path, "after simplify (2)", "after fuse (4)")
    after, found = settled(choice, (before := run(choice, final=1.0, rival=pace)))
    assert (replace(after, tried=()), found) == (replace(choice, tried=()), before)
    figures = [(each.why_not, each.latency_ms, each.speedup) for each in after.tried]
    assert {latency is not None for why, latency, speedup in figures if why is None} == {True}
    assert all((latency is None) == (speedup is None) for _, latency, speedup in figures)


def test_the_fastest_source_may_be_what_is_shipped(tmp_path: Path) -> None:
    choice = searched(tmp_path, "after simplify (2)", fastest="after simplify (2)")
    measured = run(replace(choice, fastest=None), final=1.0)
    _, found = settled(choice, measured)
    assert found.measured[FASTEST] == found.measured[FINAL]
    choice = replace(choice, fastest=Entrant(cast(Any, None), choice.baseline, False))
    assert FASTEST not in settled(choice, run(replace(choice, fastest=None), final=1.0))[1].measured


@pytest.mark.parametrize("shippable", [True, False])
def test_a_source_that_is_faster_unchanged_is_shipped_if_it_may_be(tmp_path: Path, shippable: bool) -> None:
    choice = searched(tmp_path, "after simplify (2)", fastest="after fuse (4)")
    assert choice.fastest is not None
    choice = replace(choice, fastest=replace(choice.fastest, shippable=shippable))
    before = run(choice, final=1.5, fastest=1.0)
    after, found = settled(choice, before)
    assert found.measured[FASTEST].blocks == before.measured[FASTEST].blocks
    assert found.measured[FINAL].blocks == before.measured[FASTEST if shippable else FINAL].blocks
    kept = [each.kept for each in after.outcomes if each.kept is not None]
    assert kept[-1] == (choice.fastest.deployable if shippable and choice.fastest else kept[-1])
    assert [each.status for each in after.outcomes].count("applied") == (3 if shippable else 2)


@pytest.mark.parametrize("valid", [None, True, False])
def test_if_the_chosen_one_dies_in_the_release_the_chain_is_shipped(tmp_path: Path, valid: bool | None) -> None:
    choice = searched(tmp_path, "after simplify (2)")
    choice = replace(choice, tried=tuple(each.model_copy(update={"valid": valid}) for each in choice.tried))
    died = MeasureError("the candidate could not be measured", where=FINAL, got="it was ended by SIGSEGV")
    left = without(choice, died)
    assert [each.status for each in left.outcomes] == ["applied", "applied", "dropped", "applied"]
    why = {each.digest.strip("0"): each.why_not for each in left.tried}
    assert why["simplify"] == "lost in the last comparison: it was ended by SIGSEGV"
    assert why["fuse"] == ("no race tells" if valid is False else None)
    assert why["export"] == "no race tells"
    assert "in onnxruntime, was lost in the last comparison" in left.notes[-1]
    with pytest.raises(MeasureError, match="SIGSEGV"):
        without(left, died)


def test_what_else_is_lost_in_the_release_ends_the_run(tmp_path: Path) -> None:
    choice = searched(tmp_path, "after simplify (2)")
    lost = MeasureError("the candidate could not be measured", where=BASELINE, got="it was ended by SIGKILL")
    with pytest.raises(MeasureError, match="SIGKILL"):
        without(choice, lost)
    died = MeasureError("the candidate could not be measured", where=FINAL, got="it was ended by SIGSEGV")
    with pytest.raises(MeasureError, match="SIGSEGV"):
        without(searched(tmp_path, "after fuse (4)"), died)


def test_the_source_in_its_own_framework_is_a_form_where_it_can_be_shipped(tmp_path: Path) -> None:
    way, known = entrants(tmp_path)
    assert way.start.model.kind == TORCH
    assert "source" not in known
