"""Triton, its configuration and, where it is installed, really served."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deployed
import engine_homes
import numpy as np
import predicted
import pytest

from mlopt.artifact.opened import opened
from mlopt.artifact.verify import verify
from mlopt.deploy.engines.triton import _threads
from mlopt.runtimes.onnxruntime import session_options
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

READY = tuple(f"/v2/models/{name}/ready" for name in ("words", "slow", "first", "second", "first-second"))


def test_threads_are_split_as_mlopt_splits_them() -> None:
    for options in (OnnxRuntimeOptions(threads=4), OnnxRuntimeOptions(threads=4, inter_op_threads=3)):
        own = session_options(options)
        assert _threads(options) == (own.intra_op_num_threads, own.inter_op_num_threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders: one of two models that have nothing to do with each other, one of an ensemble.

    The timeout is long: with a queue policy Triton may sleep half a second on requests that wait.
    """
    engine_homes.home("triton")
    place = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPT_CONFIG", str(place / "config"))
        words = deployed.artifact(place / "words")
        slow = deployed.artifact(place / "slow", deployed.slow, batch_size=2, final={"throughput_per_s": 0.3})
        first = deployed.artifact(place / "first", deployed.doubled)
        second = deployed.artifact(place / "second", deployed.shifted)
        deployed.written(place / "out", "triton", words, slow, slo_ms=10_000)
        deployed.written(place / "pair", "triton", first, second, slo_ms=10_000)
    for each in (place / "pair" / "model_repository").iterdir():
        shutil.copytree(each, place / "out" / "model_repository" / each.name)
    return place


def ports() -> dict[str, str]:
    return {name: str(deployed.free_port()) for name in ("HTTP_PORT", "GRPC_PORT", "METRICS_PORT")}


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[dict[str, int]]:
    found = ports()
    port = int(found["HTTP_PORT"])
    python = os.path.relpath(engine_homes.python("triton"), (place / "out").resolve())  # as in README.md
    with deployed.running(["./start.sh"], place / "out", port, READY, PYTHON=python, **found):
        yield {name: int(value) for name, value in found.items()}


@pytest.mark.slow
def test_answers_are_the_artifacts_and_carry_its_digest(
    served: dict[str, int], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPT_CONFIG", str(place / "config"))
    feeds = predicted.rows(3)
    with opened(place / "words", None) as own:
        expected = own.session.run(feeds)
    asked = {**feeds, "x": feeds["x"].reshape(3, 1)}
    code, answer, _ = deployed.ask(served["HTTP_PORT"], "/v2/models/words/infer", deployed.infer_body(asked))
    assert code == 200, answer
    found = deployed.outputs_of(answer)
    assert np.allclose(found["embedding"], expected["embedding"])
    assert np.allclose(found["root"].reshape(3), expected["root"])
    assert digest(answer) == [verify(place / "words").root] * 3
    _, config, _ = deployed.ask(served["HTTP_PORT"], "/v2/models/words/config")
    assert config["parameters"]["mlopt_digest"]["string_value"] == verify(place / "words").root


def digest(answer: dict[str, Any]) -> list[str]:
    return list(next(one["data"] for one in answer["outputs"] if one["name"] == "mlopt_digest"))


@pytest.mark.slow
def test_two_models_are_an_ensemble(served: dict[str, int]) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    code, answer, _ = deployed.ask(served["HTTP_PORT"], "/v2/models/first-second/infer", deployed.infer_body({"x": x}))
    assert code == 200, answer
    assert np.array_equal(deployed.outputs_of(answer)["y"], (2 * x) ** 2)


@pytest.mark.slow
def test_requests_that_wait_are_joined(served: dict[str, int]) -> None:
    body = deployed.infer_body({"x": np.ones((1, 4), np.float32)})

    def ask(_: int) -> int:
        return deployed.ask(served["HTTP_PORT"], "/v2/models/first/infer", body)[0]

    before = executions(served["METRICS_PORT"])
    codes = [code for _ in range(5) for code in deployed.together(24, ask)]
    assert codes == [200] * 120
    assert 0 < executions(served["METRICS_PORT"]) - before < 120


def executions(port: int) -> float:
    """Return the inferences that the model's own code counted."""
    text = deployed.ask(port, "/metrics")[1]
    found = [
        line for line in text.splitlines() if line.startswith("mlopt_executions_total") and 'model="first"' in line
    ]
    return sum(float(line.split()[-1]) for line in found)


@pytest.mark.slow
def test_a_full_queue_and_a_deadline_are_503(served: dict[str, int]) -> None:
    """Triton has one code for both: 503, with what it was in the text; nothing is 504."""
    body = deployed.infer_body({"x": np.ones((1, 4), np.float32)})
    port = served["HTTP_PORT"]
    found = deployed.together(24, lambda _: deployed.ask(port, "/v2/models/slow/infer", body))
    codes = [code for code, _, _ in found]
    assert codes.count(200) >= 2
    assert set(codes) == {200, 503}
    assert any("Exceeds maximum queue size" in str(answer) for _, answer, _ in found)
    late = {**body, "parameters": {"timeout": 1000}}
    found = deployed.together(3, lambda _: deployed.ask(port, "/v2/models/slow/infer", late))
    assert any(code == 503 and "timeout expired" in str(answer) for code, answer, _ in found), found


@pytest.mark.slow
def test_a_request_that_fails_is_told_and_spoils_no_other(served: dict[str, int]) -> None:
    def ask(number: int) -> tuple[int, Any, Any]:
        feeds = predicted.rows(1, poisoned=(0,) if number % 4 == 0 else ())
        asked = {**feeds, "x": feeds["x"].reshape(1, 1)}
        return deployed.ask(served["HTTP_PORT"], "/v2/models/words/infer", deployed.infer_body(asked))

    codes = [code for code, _, _ in deployed.together(12, ask)]
    assert [code == 200 for code in codes] == [number % 4 != 0 for number in range(12)]
    assert deployed.ask(served["HTTP_PORT"], "/v2/models/words/infer", {"inputs": []})[0] == 400


@pytest.mark.slow
def test_a_truncated_model_is_never_served(place: Path, tmp_path: Path) -> None:
    """Not at the start, which ends with 4; nor by whoever starts Triton past that check."""
    shutil.copytree(place / "out", tmp_path / "out")
    deployed.truncate(tmp_path / "out" / "model_repository" / "words" / "1" / "model.onnx")
    environment = deployed.environment(PYTHON=str(engine_homes.python("triton")), **ports())
    done = subprocess.run(
        ["./start.sh"], cwd=tmp_path / "out", capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 4
    assert "it is not what was signed" in done.stderr
    start = tmp_path / "out" / "start.sh"
    start.write_text(start.read_text().replace('"$python" "$here/model_runtime.py"', ": "))
    done = subprocess.run(
        ["./start.sh"], cwd=tmp_path / "out", capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode != 0
    assert "it is not what was signed" in done.stderr + done.stdout


@pytest.mark.slow
def test_models_are_loaded_by_those_who_have_the_token(place: Path) -> None:
    found = ports()
    port = int(found["HTTP_PORT"])
    environment = {
        **found,
        "PYTHON": str(engine_homes.python("triton")),
        "MODEL_CONTROL": "explicit",
        "ADMIN_TOKEN": "t0",
    }
    load = "/v2/repository/models/first/load"
    with deployed.running(["./start.sh"], place / "out", port, READY, **environment):
        assert deployed.ask(port, load, {})[0] == 403
        assert deployed.ask(port, load, {}, {"admin-token": "other"})[0] == 403
        assert deployed.ask(port, load, {}, {"admin-token": "t0"})[0] == 200
        assert deployed.status(port, "/v2/models/first/ready") == 200
    del environment["ADMIN_TOKEN"]
    done = subprocess.run(
        ["./start.sh"], cwd=place / "out", capture_output=True, text=True, timeout=60, check=False,
        env=deployed.environment(**environment),
    )  # fmt: skip
    assert done.returncode == 2
    assert "ADMIN_TOKEN" in done.stderr
