"""The whole run: every row once and in order, whatever fails, whatever is killed, and nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import predicted
import pytest
from onnx import TensorProto, helper

import mlopt.predict as predictions
from mlopt.core.errors import DataError, IntegrityError, ModelError, OutputError, UserError
from mlopt.predict import crew
from mlopt.predict.run import PredictRequest, predict

ROWS = 50


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return predicted.artifact(tmp_path / "words")


def given(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


def run(artifact: Path, data: Path, **changes: Any) -> dict[str, Any]:
    parts = {"artifact": artifact, "data": data, "output": data.parent / "out", "workers": 1, "shard_rows": 10}
    return predict(PredictRequest(**(parts | changes)))


def read_all(folder: Path) -> tuple[list[int], dict[str, np.ndarray]]:
    parts = list(predictions.read(folder))
    rows = [int(row) for part in parts for row in part.rows]
    return rows, {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs}


@pytest.mark.process
def test_every_row_is_there_once_in_order_and_what_fails_is_named(artifact: Path, tmp_path: Path) -> None:
    arrays = predicted.rows(ROWS, poisoned=(0, 17, 18, 49), negative=(5, 23))
    summary = run(artifact, given(tmp_path, **arrays), workers=2)
    rows, outputs = read_all(tmp_path / "out")
    assert rows == [row for row in range(ROWS) if row not in (0, 17, 18, 49)]
    assert np.array_equal(outputs["embedding"], predicted.TABLE[arrays["ids"][rows]])
    with np.errstate(invalid="ignore"):
        assert np.array_equal(outputs["root"], np.sqrt(arrays["x"][rows]), equal_nan=True)
    faults = predictions.errors(tmp_path / "out")
    assert list(faults) == [0, 17, 18, 49]
    assert "indices element out of data bounds" in faults[17]
    assert (summary["state"], summary["predicted"], summary["failed"]) == ("complete", 46, 4)
    assert summary["not_finite"] == 2
    assert [(shard["start"], shard["stop"]) for shard in summary["shards"]] == [
        (start, start + 10) for start in range(0, ROWS, 10)
    ]
    assert summary["cpu_hours"] > 0
    assert not (tmp_path / "out/.mlopt-work").exists()


@pytest.mark.process
def test_what_is_whole_is_not_done_again_and_what_is_damaged_is(artifact: Path, tmp_path: Path) -> None:
    data = given(tmp_path, **predicted.rows(ROWS, poisoned=(31,)))
    first = run(artifact, data)
    shards = tmp_path / "out/shards"
    (shards / "00001.npz").write_bytes(b"damaged")
    (shards / "00002.json").unlink()
    record = json.loads((shards / "00003.json").read_text())
    record["faults"][0]["error"] = "something else"
    (shards / "00003.json").write_text(json.dumps(record))
    untouched = (shards / "00000.npz").stat().st_mtime_ns
    with pytest.raises(IntegrityError, match="a shard is not what was written"):
        list(predictions.read(tmp_path / "out"))
    second = run(artifact, data)
    assert (second["shards_kept"], second["shards_damaged"], second["shards_done"]) == (2, 2, 3)
    assert [shard["sha256"] for shard in second["shards"]] == [shard["sha256"] for shard in first["shards"]]
    assert (shards / "00000.npz").stat().st_mtime_ns == untouched
    assert "bounds" in predictions.errors(tmp_path / "out")[31]
    assert run(artifact, data)["shards_done"] == 0


@pytest.mark.process
def test_a_row_that_kills_its_worker_costs_that_row_alone(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "ShardWorker", predicted.DyingShards)
    monkeypatch.setenv(predicted.DEADLY, "6,22")
    summary = run(artifact, given(tmp_path, **predicted.rows(30, poisoned=(7,))), workers=2)
    assert read_all(tmp_path / "out")[0] == [row for row in range(30) if row not in (6, 7, 22)]
    faults = predictions.errors(tmp_path / "out")
    assert faults[6].startswith("its worker died: it was ended by SIGKILL (out of memory?)")
    assert (summary["failed"], summary["state"]) == (3, "complete")


@pytest.mark.process
def test_too_many_errors_end_the_run_what_was_done_stays_and_more_are_accepted_later(
    artifact: Path, tmp_path: Path
) -> None:
    data = given(tmp_path, **predicted.rows(ROWS, poisoned=(3, 21, 22, 23)))
    stopped = run(artifact, data, max_errors=2)
    assert (stopped["state"], stopped["shards_done"], stopped["failed"]) == ("stopped", 2, 4)
    assert list(predictions.errors(tmp_path / "out")) == [3, 21, 22, 23]
    went_on = run(artifact, data, max_errors=4)
    assert (went_on["state"], went_on["shards_kept"], went_on["predicted"]) == ("complete", 2, 46)


@pytest.mark.process
def test_an_output_without_a_batch_axis_is_computed_row_by_row(tmp_path: Path) -> None:
    artifact = predicted.artifact(tmp_path / "things", predicted.things)
    x = np.array([[0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0], [5, 0, 0, 2]], np.float32)
    run(artifact, given(tmp_path, x=x), shard_rows=2)
    found = [places.tolist() for part in predictions.read(tmp_path / "out") for places in part.outputs["places"]]
    assert found == [np.stack(np.nonzero(row[None])).tolist() for row in x]


@pytest.mark.process
def test_a_folder_of_arrays_is_read_where_it_lies(artifact: Path, tmp_path: Path) -> None:
    arrays = predicted.rows(ROWS)
    (tmp_path / "arrays").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "arrays" / f"{name}.npy", array)
    summary = run(artifact, tmp_path / "arrays", output=tmp_path / "out", shard_rows=None)
    assert summary["settings"] == {"shard_rows": 4, "batch_size": 4}
    assert np.array_equal(read_all(tmp_path / "out")[1]["embedding"], predicted.TABLE[arrays["ids"]])


def test_a_bad_artifact_or_bad_data_writes_nothing(artifact: Path, tmp_path: Path) -> None:
    data = given(tmp_path, **predicted.rows(5))
    with pytest.raises(DataError, match="the data does not exist"):
        run(artifact, tmp_path / "none.npz", output=tmp_path / "out")
    (artifact / "model.onnx").write_bytes(b"hostile")
    with pytest.raises(IntegrityError, match="changed after it was signed"):
        run(artifact, data)
    assert not (tmp_path / "out").exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("artifact", "differs in the artifact, by its digest"),
        ("data", "differs in the data, by its digest"),
        ("shard_rows", "--shard-rows 10 goes on there"),
        ("batch_size", "--batch-size 4 goes on there"),
    ],
)
def test_a_folder_of_another_run_is_an_error_that_says_what_differs(
    artifact: Path, tmp_path: Path, what: str, message: str
) -> None:
    data = given(tmp_path, **predicted.rows(10))
    run(artifact, data)
    changes: dict[str, Any] = {"shard_rows": 5} if what == "shard_rows" else {}
    if what == "batch_size":
        changes = {"batch_size": 2}
    elif what == "data":
        given(tmp_path, **predicted.rows(11))
    elif what == "artifact":
        shutil.rmtree(artifact)
        predicted.artifact(tmp_path / "words", batch_size=5)
    with pytest.raises(UserError, match=message):
        run(artifact, data, **changes)


@pytest.mark.process
def test_a_model_that_cannot_be_opened_is_told_of_the_artifact_and_leaves_no_copy(tmp_path: Path) -> None:
    def unopenable(path: Path) -> Path:
        node = helper.make_node("NoSuchOperator", ["x"], ["y"])
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
        model = helper.make_model(helper.make_graph([node], "odd", [x], [y]), ir_version=9)
        onnx.save(model, path)
        return path

    artifact = predicted.artifact(tmp_path / "odd", unopenable)
    with pytest.raises(ModelError) as caught:
        run(artifact, given(tmp_path, x=np.ones((3, 2), np.float32)))
    assert str(caught.value.problems[0].where) == str(artifact / "model.onnx")
    assert not (tmp_path / "out/.mlopt-work").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").touch()
    with pytest.raises(OutputError, match="something else than predictions"):
        run(artifact, given(tmp_path, **predicted.rows(5)))


@pytest.mark.process
@pytest.mark.cold
def test_after_two_kills_the_same_command_goes_on(artifact: Path, tmp_path: Path) -> None:
    arrays = predicted.rows(6000, poisoned=(4321,))
    data = given(tmp_path, **arrays)
    words = ["-m", "mlopt", "predict", artifact, "--data", data, "-o", tmp_path / "out", "--shard-rows", 40, "--json"]
    command = [sys.executable, *map(str, words), "--workers", "2"]
    shards = tmp_path / "out/shards"
    seen = 0
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        wanted = time.monotonic() + 60
        while not shards.is_dir() or len(list(shards.glob("*.json"))) < seen + 5:
            assert process.poll() is None
            assert time.monotonic() < wanted
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen = len(list(shards.glob("*.json")))
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 1, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["shards_kept"] >= seen
    assert summary["shards_kept"] + summary["shards_done"] == 150
    rows, outputs = read_all(tmp_path / "out")
    assert rows == [row for row in range(6000) if row != 4321]
    assert np.array_equal(outputs["embedding"], predicted.TABLE[arrays["ids"][rows]])
    assert list(predictions.errors(tmp_path / "out")) == [4321]
