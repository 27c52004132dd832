"""KServe's server is asked in the process, and served in a namespace of its own: it listens on all interfaces."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import deployed
import engine_homes
import numpy as np
import predicted
import pytest

from mlopt.artifact.verify import verify

ASK = """
import asyncio, json, sys
import numpy as np
from kserve import InferInput, InferRequest
import server

async def main():
    fed = json.loads(sys.stdin.read())
    arrays = {"ids": np.array(fed["ids"], np.int64), "x": np.array(fed["x"], np.float32)}
    model = server.Served("words", server.BatchQueue(**server.SETTINGS["words"]))
    inputs = []
    for name, array in arrays.items():
        one = InferInput(name, list(array.shape), {"int64": "INT64", "float32": "FP32"}[array.dtype.name])
        one.set_data_from_numpy(array, binary_data=False)
        inputs.append(one)
    answer, _ = (await model.predict(InferRequest("words", inputs, request_id="7"))).to_rest()
    print(json.dumps({"answer": answer, "inputs": await model.get_input_types()}))

asyncio.run(main())
"""


@pytest.mark.slow
def test_it_answers_as_the_artifact_does(tmp_path: Path) -> None:
    python = engine_homes.python("kserve")
    artifact = deployed.artifact(tmp_path / "words")
    deployed.written(tmp_path / "out", "kserve", artifact)
    feeds = {name: array.tolist() for name, array in predicted.rows(2).items()}
    done = subprocess.run(
        [python, "-c", ASK], input=json.dumps(feeds), cwd=tmp_path / "out", capture_output=True, text=True, timeout=120,
        check=False, env=deployed.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    found = deployed.outputs_of(told["answer"])
    assert np.array_equal(found["embedding"], predicted.TABLE[np.array(feeds["ids"])])
    assert told["answer"]["parameters"] == {"digest": verify(artifact).root, "version": "1"}
    assert told["inputs"][0] == {"name": "ids", "datatype": "INT64", "shape": [-1, 3]}


@pytest.mark.slow
def test_a_truncated_model_is_never_served(tmp_path: Path) -> None:
    python = engine_homes.python("kserve")
    deployed.written(tmp_path / "out", "kserve", deployed.artifact(tmp_path / "words"))
    deployed.truncate(tmp_path / "out" / "models" / "words" / "1" / "model.onnx")
    done = subprocess.run(
        [python, "server.py"], cwd=tmp_path / "out", capture_output=True, text=True, timeout=120, check=False,
        env=deployed.environment(),
    )  # fmt: skip
    assert done.returncode == 4, done.stderr[-2000:]
    assert "it is not what was signed" in done.stderr


@pytest.mark.slow
def test_it_serves_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    """It listens on all interfaces, of which this one has the loopback alone."""
    python = engine_homes.python("kserve")
    artifact = deployed.artifact(tmp_path / "words")
    deployed.written(tmp_path / "out", "kserve", artifact, slo_ms=2000)
    feeds = predicted.rows(1)
    asks = [
        {"path": "/v2/models/words/infer", "body": deployed.infer_body(feeds, id="7"), "times": 60},
        {"path": "/v2/models/words/infer", "body": {"inputs": []}, "times": 1},
        {"path": "/v2/models/nobody/ready", "times": 1},
    ]
    ready = ["/v2/models/words/ready"]
    found = engine_homes.in_namespace([python, "server.py"], tmp_path / "out", 8080, ready, asks)
    good, wrong, nobody = found["answers"]
    assert {code for code, _, _ in good} == {200}
    assert np.array_equal(deployed.outputs_of(good[0][1])["embedding"], predicted.TABLE[feeds["ids"]])
    assert good[0][1]["parameters"] == {"digest": verify(artifact).root, "version": "1"}
    assert good[0][2]["mlopt-digest"] == verify(artifact).root
    assert 400 <= wrong[0][0] < 500
    assert nobody[0][0] == 404
