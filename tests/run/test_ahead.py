"""The minutes of a run to come: what has to be done takes time, what the cache has takes none, and guesses say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_models import dense

from mlopt.run import ledger
from mlopt.run.ahead import summary
from mlopt.run.forecast import foresee, foresee_times
from mlopt.run.ledger import Spent, Workload
from mlopt.run.outlook import Outlook
from mlopt.run.request import Request


@pytest.fixture(autouse=True)
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A bare model with data, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPT_CACHE", str(tmp_path / "cache"))
    dense(tmp_path / "net.onnx", width=4)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((6, 4), np.float32))
    return Request(source=Path("net.onnx"), data=Path("x.npz"))


def seconds(request: Request) -> dict[str, tuple[float | None, str]]:
    return {row.name: (row.seconds, row.basis) for row in foresee_times(request)[0]}


def test_the_steps_are_those_of_the_plan_and_what_every_run_does_comes_after(request_: Request) -> None:
    rows, notes = foresee_times(request_)
    plain, same = foresee(request_)
    assert [row.name for row in rows] == [*(row.name for row in plain), "trials", "measure", "pack"]
    assert notes == same
    assert all(row.seconds is not None and row.seconds >= 0 and row.basis for row in rows)


def test_without_an_earlier_run_it_is_a_guess_that_says_so(request_: Request) -> None:
    rows, _ = foresee_times(request_)
    assert {row.basis for row in rows if row.seconds} == {"no earlier run: a guess from sizes and settings"}
    assert "a guess from sizes and settings, which may be far off" in summary(rows)


def test_an_earlier_run_is_gone_by_and_a_quick_one_is_another_matter(request_: Request, tmp_path: Path) -> None:
    took = {"pass quantize": 55.0, "measure": 33.0, "is it worth it?": 5.0, "data": 1.0, "pack": 2.0}
    (tmp_path / "cache").mkdir(mode=0o700)
    ledger.add(tmp_path / "cache", Spent("net", Workload(32.0, 3), took))
    ledger.add(tmp_path / "cache", Spent("net", Workload(32.0, 3), dict.fromkeys(took, 1000.0), quick=True))
    found = seconds(request_)
    assert found["quantize"] == (55.0, "by the last run of this recipe")
    assert found["measure"][0] == 33.0
    assert summary(foresee_times(request_)[0]).startswith("about 1.7 min, most of it quantize (")


def test_nothing_to_do_takes_no_time() -> None:
    assert summary([]) == ""
    assert summary([Outlook("fuse", "", True, "nothing changed", seconds=0.0)]) == ""
