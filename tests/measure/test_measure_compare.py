"""One comparison for all: who goes on when something is undecided, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import OPTIONS, figures, measured, model, run_of

from mlopt.measure import latency
from mlopt.measure.candidate import Candidate, Run
from mlopt.measure.compare import compare
from mlopt.measure.schedule import Schedule
from mlopt.runtimes.base import Deployable

COPIES = ("onnx_fp32", "onnx_fp32 (again)")


class Look:
    """Stands in for ``latency.measure``: takes one look, and keeps what was wanted and said."""

    def __init__(self, rounds: int = 10, lost: tuple[str, ...] = ()) -> None:
        self.rounds, self.lost = rounds, lost
        self.wanted: set[str] = set()
        self.said = ""

    def __call__(self, candidates: Sequence[Candidate], _: Any, schedule: Schedule, **ask: Any) -> Run:
        found = {each.name: measured(each, self.rounds) for each in candidates if each.name not in self.lost}
        self.wanted, self.said = set(ask["undecided"](found)), ask["interim"](found)
        return run_of(tuple(candidates), looks_planned=schedule.looks)


def looked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, look: Look, names: set[str], **more: Any
) -> tuple[set[str], str]:
    def undecided(_: Mapping[str, Any]) -> set[str]:
        return names

    monkeypatch.setattr(latency, "measure", look)
    net = Deployable(model(folder, "net"), "onnxruntime", OPTIONS)
    candidates = [Candidate(name, net, 1) for name in (*COPIES, "torch_eager", "final")]
    schedule = Schedule(1.0, 10, 10.0, looks=3, least=1)
    compare(candidates, figures(folder).dataset, schedule, copies=COPIES, undecided=undecided,
            notify=lambda _text, _share: None, **more)  # fmt: skip
    return look.wanted, look.said


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (set(), set()),
        ({"final"}, {"final"}),
        ({"torch_eager"}, {"torch_eager", *COPIES}),
        ({"final", "torch_eager"}, {"final", "torch_eager", *COPIES}),
    ],
)
def test_a_ratio_takes_both_copies_along_and_the_result_goes_on_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: set[str], wanted: set[str]
) -> None:
    assert looked(tmp_path, monkeypatch, Look(), names, final="final")[0] == wanted


def test_where_every_candidate_is_a_result_none_goes_on_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked(tmp_path, monkeypatch, Look(), {"final"}) == ({"final", *COPIES}, "")


def test_nothing_is_asked_without_what_the_answer_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(lost=("torch_eager",))
    assert looked(tmp_path, monkeypatch, look, {"final"}, final="final", needs={"final", "torch_eager"})[0] == set()


@pytest.mark.parametrize(("look", "said"), [(Look(), True), (Look(rounds=3), False), (Look(lost=("final",)), False)])
def test_the_speed_so_far_is_told_once_there_are_rounds_enough_for_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Look, said: bool
) -> None:
    assert looked(tmp_path, monkeypatch, look, set(), final="final")[1].startswith("speedup 2.0") is said
