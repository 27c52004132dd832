"""Shards on a cluster of several nodes on this machine: each computed once, though a node is killed meanwhile."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
from ray_cluster import RayCluster, cluster

import mlopt
import mlopt.predict as predictions
from mlopt.core.errors import UserError
from mlopt.predict.on_ray import _check, marks
from mlopt.predict.shard_worker import ShardWork

ROWS, POISONED = 3000, 1234


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayCluster]:
    """A head that only keeps the books, and two nodes."""
    with cluster(0, 2, 2) as running:
        yield running


def started(nodes: RayCluster, folder: Path, output: str, *more: object, **how: Any) -> subprocess.Popen[str]:
    words = (
        "-v", "predict", folder / "words", "--data", folder / "rows.npz", "-o", folder / output, "--shard-rows", 20,
        "--ray", nodes.address, "--json", *more,
    )  # fmt: skip
    mine = {name: os.environ[name] for name in ("MLOPT_CONFIG", "MLOPT_CACHE")}
    return nodes.start(
        [sys.executable, "-m", "mlopt", *map(str, words)], env=nodes.environment | mine, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **how,
    )  # fmt: skip


@pytest.fixture
def given(tmp_path: Path) -> dict[str, np.ndarray]:
    predicted.artifact(tmp_path / "words")
    arrays = predicted.rows(ROWS, poisoned=(POISONED,))
    np.savez(tmp_path / "rows.npz", **arrays)
    return arrays


@pytest.mark.slow
@pytest.mark.ray
def test_a_node_that_is_killed_loses_no_shard(nodes: RayCluster, tmp_path: Path, given: dict[str, np.ndarray]) -> None:
    doomed = nodes.add(2)
    running = started(nodes, tmp_path, "out")
    until = time.monotonic() + 120
    while len(list((tmp_path / "out/shards").glob("*.json"))) < 10:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    nodes.kill(doomed)
    out, told = running.communicate(timeout=200)
    assert running.returncode == 1, told
    summary = json.loads(out)
    assert (summary["state"], summary["predicted"], summary["failed"]) == ("complete", ROWS - 1, 1)
    parts = list(predictions.read(tmp_path / "out"))
    rows = [int(row) for part in parts for row in part.rows]
    assert rows == [row for row in range(ROWS) if row != POISONED]
    found = np.concatenate([part.outputs["embedding"] for part in parts])
    assert np.array_equal(found, predicted.TABLE[given["ids"][rows]])
    on = re.findall(r"shard (\d+) was done on node (\w+)", told)
    assert len(on) == len({shard for shard, _ in on}) == ROWS // 20
    assert set(nodes.nodes[1:3]) <= {node for _, node in on}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock", "errors.jsonl", "predictions.json", "setup.json", "shards",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.ray
def test_what_this_machine_did_a_cluster_goes_on_with(
    nodes: RayCluster, tmp_path: Path, given: dict[str, np.ndarray]
) -> None:
    first = started(nodes, tmp_path, "out")
    out, told = first.communicate(timeout=200)
    assert first.returncode == 1, told
    (tmp_path / "out/shards/00003.npz").write_bytes(b"damaged")
    second = started(nodes, tmp_path, "out")
    out, told = second.communicate(timeout=200)
    summary = json.loads(out)
    assert (summary["shards_kept"], summary["shards_done"], summary["shards_damaged"]) == (149, 1, 1)


@pytest.mark.slow
@pytest.mark.ray
def test_an_error_on_a_node_is_told_as_one(nodes: RayCluster, tmp_path: Path, given: dict[str, np.ndarray]) -> None:
    running = started(nodes, tmp_path, "out", "--max-errors", "0")
    out, told = running.communicate(timeout=200)
    assert running.returncode == 1, told
    assert json.loads(out)["state"] == "stopped"
    assert list(predictions.errors(tmp_path / "out")) == [POISONED]


def test_a_node_that_sees_other_files_or_has_another_mlopt_is_refused(tmp_path: Path) -> None:
    artifact = predicted.artifact(tmp_path / "words")
    np.save(tmp_path / "x.npy", np.arange(4))
    work = ShardWork(artifact, artifact, {"x": tmp_path / "x.npy"}, tmp_path, "r" * 64, batch_size=1, max_errors=0)
    seen = marks(work)
    np.save(tmp_path / "x.npy", np.arange(5))
    with pytest.raises(UserError, match="a node does not see the same file"):
        _check(seen, marks(work), mlopt.__version__)
    (tmp_path / "x.npy").unlink()
    assert marks(work)[str(tmp_path / "x.npy")] == "No such file or directory"
    with pytest.raises(UserError, match="a node has another mlopt"):
        _check(seen, seen, "0.0.1")
    _check(seen, seen, mlopt.__version__)
