"""What runs took: kept, bounded, and told from nonsense."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlopt.run import ledger
from mlopt.run.ledger import Spent, Workload

ONE = Spent("net", Workload(1e6, 200), {"measure": 9.5})


def test_what_is_added_is_read_in_order_and_only_the_latest_stay(tmp_path: Path) -> None:
    assert ledger.read(tmp_path) == []
    for number in range(205):
        ledger.add(tmp_path, Spent(f"net {number}", Workload(number, 1), {"data": 1.0}, quick=number % 2 == 0))
    names = [run.name for run in ledger.read(tmp_path)]
    assert names == [f"net {number}" for number in range(5, 205)]
    assert (tmp_path / "runs.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_others_may_have_written_tells_nothing(tmp_path: Path) -> None:
    ledger.add(tmp_path, ONE)
    (tmp_path / "runs.jsonl").chmod(0o666)
    assert ledger.read(tmp_path) == []


def test_where_nothing_can_be_written_a_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").mkdir()
    ledger.add(tmp_path, ONE)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.jsonl"]


@given(st.lists(st.one_of(st.text(), st.recursive(
    st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["name", "size", "seconds", "macs", "samples", "quick"]), inner)))))  # fmt: skip
def test_nonsense_is_no_run(lines: list[object]) -> None:
    for line in lines:
        found = ledger._run((line if isinstance(line, str) else json.dumps(line)).encode())
        assert found is None or min(found.seconds.values(), default=0.0) >= 0


def test_stages_of_one_phase_count_once_and_what_came_from_the_cache_not_at_all() -> None:
    took = {"data": 0.1, "pass quantize (2 of 3), in onnxruntime": 10.0, "pass quantize (2 of 3), in openvino": 20.0}
    assert ledger.by_phase(took) == {"pass quantize": 15.0}
