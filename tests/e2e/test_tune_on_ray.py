"""One study in one process and on a cluster: the same models at the same points, as fast as each other within noise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from ray_cluster import RayCluster, cluster

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
WIDTH, LAYERS = 512, 4
RECIPE = {
    "apiVersion": "mlopt/v1", "name": "wide", "model": {"source": "./wide.onnx"},
    "data": {"calibration": {"source": "./x.npz", "split": [0.0, 0.5]},
             "evaluation": {"source": "./x.npz", "split": [0.5, 1.0]}},
    "target": {"runtime": "onnxruntime", "threads": 1, "batch_size": 8},
    "passes": ["simplify", {"quantize": {"mode": "static"}}],
    "gates": [{"metric": "fidelity.cosine", "min": 0.9}],
    "measure": {"seconds": 0.05, "rounds": 7, "max_time": 1, "operators": False},
}  # fmt: skip
TUNE = (
    "-m", "mlopt", "tune", "wide.yaml", "--no-sign", "--trials", "6", "--only", "passes.quantize.mode",
    "--only", "passes.fuse", "--json",
)  # fmt: skip
ALIKE = 1.35
"""How much two measurements of one model may differ where others work beside them."""


@pytest.fixture(scope="module")
def own() -> Any:
    with cluster(0, 2, 2) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    weights = [(random.standard_normal((WIDTH, WIDTH)) / 16).astype(np.float32) for _ in range(LAYERS)]
    nodes = []
    for number in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"r{number}" if number else "x", f"w{number}"], [f"m{number}"]))
        nodes.append(helper.make_node("Relu", [f"m{number}"], [f"r{number + 1}"]))
    graph = helper.make_graph(
        nodes, "wide", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info(f"r{LAYERS}", TensorProto.FLOAT, ["batch", WIDTH])],
        [numpy_helper.from_array(array, f"w{number}") for number, array in enumerate(weights)],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "wide.onnx"
    )
    np.savez(tmp_path / "x.npz", x=random.standard_normal((128, WIDTH)).astype(np.float32))
    (tmp_path / "wide.yaml").write_text(json.dumps(RECIPE))
    return tmp_path


def trials(own: RayCluster, folder: Path, name: str, *more: str) -> dict[str, dict[str, Any]]:
    """Tune with a cache of its own; return the trials by their point."""
    environment = {**own.environment, "MLOPT_CACHE": str(folder / f"cache-{name}"), "MLOPT_CONFIG": str(folder)}
    ended = own.run([sys.executable, *TUNE, "-o", name, *more], timeout=420, cwd=folder, env=environment)
    assert ended.returncode == 0, ended.stderr
    return {json.dumps(each["params"], sort_keys=True): each for each in json.loads(ended.stdout)["trials"]}


def test_a_study_finds_on_a_cluster_what_it_finds_in_one_process(own: RayCluster, folder: Path) -> None:
    here = trials(own, folder, "here")
    there = trials(own, folder, "there", "--ray", own.address)
    assert here.keys() == there.keys()
    assert len(here) == 6
    for point, one in here.items():
        other = there[point]
        assert (one["digest"], one["size_bytes"], one["valid"]) == (other["digest"], other["size_bytes"], True)
        assert one["fidelity"] == other["fidelity"]
        assert 1 / ALIKE < one["speedup"] / other["speedup"] < ALIKE, (one, other)
    assert {each["node"].partition(" (")[2] for each in there.values()} - {""}, "nothing was done on a node"


@pytest.mark.parametrize(
    ("address", "said"), [("127.0.0.1:9", "no cluster of Ray answers"), ("auto", "this is no address of a cluster")]
)
def test_a_cluster_that_cannot_be_joined_is_one_error(own: RayCluster, folder: Path, address: str, said: str) -> None:
    environment = {**own.environment, "MLOPT_CACHE": str(folder / "cache"), "MLOPT_CONFIG": str(folder)}
    ended = own.run([sys.executable, *TUNE, "--ray", address], cwd=folder, env=environment)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
