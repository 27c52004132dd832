"""FastAPI, really served: answers, batches, limits, and what is never served."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import deployed
import engine_homes
import numpy as np
import predicted
import pytest

from mlopt.artifact.opened import opened
from mlopt.artifact.verify import verify
from mlopt.protocol import messages

pytestmark = pytest.mark.slow
READY = ("/v2/models/words/ready", "/v2/models/slow/ready")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    """A server of both models; the slow one has room for a batch of 2, and for 4 rows that wait."""
    python = engine_homes.python("fastapi")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPT_CONFIG", str(place / "config"))
        words = deployed.artifact(place / "words")
        slow = deployed.artifact(place / "slow", deployed.slow, batch_size=2, final={"throughput_per_s": 2.0})
        deployed.written(place / "out", "fastapi", words, slow, slo_ms=2000)
    port = deployed.free_port()
    with deployed.running([python, "app.py", "--port", str(port)], place / "out", port, READY):
        yield port


def test_answers_are_the_artifacts_and_carry_its_digest(
    port: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPT_CONFIG", str(place / "config"))
    feeds = predicted.rows(3)
    with opened(place / "words", None) as own:
        expected = own.session.run(feeds)
    root = verify(place / "words").root
    code, answer, headers = deployed.ask(port, "/v2/models/words/infer", deployed.infer_body(feeds, id="7"))
    assert code == 200
    found = deployed.outputs_of(answer)
    assert all(np.allclose(found[name], expected[name]) for name in expected)
    assert answer["parameters"] == {"digest": root, "version": "1"}
    assert (headers["mlopt-digest"], headers["mlopt-version"], answer["id"]) == (root, "1", "7")
    _, metadata, _ = deployed.ask(port, "/v2/models/words/versions/1")
    assert metadata["parameters"]["digest"] == root
    assert metadata["inputs"][0] == {"name": "ids", "datatype": "INT64", "shape": [-1, 3]}


def test_binary_data_both_ways(port: int) -> None:
    import urllib.request

    feeds = predicted.rows(2)
    message = messages.write_request(feeds)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/models/words/infer", message.body, dict(message.headers)
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        read = messages.read_answer(answer.read(), answer.headers.get(messages.HEADER_LENGTH))
    assert np.array_equal(read.outputs["embedding"], predicted.TABLE[feeds["ids"]])


def test_requests_that_wait_are_joined(port: int) -> None:
    def ask(number: int) -> int:
        return deployed.ask(port, "/v2/models/words/infer", deployed.infer_body(predicted.rows(1)))[0]

    before = executions(port, "words")
    codes = [code for _ in range(5) for code in deployed.together(24, ask)]
    assert codes == [200] * 120
    assert executions(port, "words") - before < 120


def executions(port: int, model: str) -> float:
    text = deployed.ask(port, "/metrics")[1]
    lines = [
        line for line in text.splitlines() if line.startswith("mlopt_executions_total{") and f'model="{model}"' in line
    ]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_a_full_queue_is_503_and_a_late_answer_504(port: int) -> None:
    body = deployed.infer_body({"x": np.ones((1, 4), np.float32)})
    found = deployed.together(24, lambda _: deployed.ask(port, "/v2/models/slow/infer", body))
    codes = [code for code, _, _ in found]
    assert set(codes) <= {200, 503, 504}
    assert codes.count(200) >= 2
    assert codes.count(503) >= 1
    assert next(headers for code, _, headers in found if code == 503)["retry-after"] == "1"
    code, answer, headers = deployed.ask(port, "/v2/models/slow/infer", body, {"mlopt-timeout-ms": "5"})
    assert (code, answer) == (504, {"error": "no answer within 5 ms"})
    assert headers["mlopt-version"] == "1"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v2/models/nobody/infer", {}, 404),
        ("/v2/models/words/versions/2/infer", {}, 404),
        ("/v2/models/words/infer", {}, 400),
        ("/v2/models/words/infer", deployed.infer_body({"x": np.zeros(1, np.float32)}), 400),
        ("/v2/models/words/infer", deployed.infer_body(predicted.rows(1), outputs=[{"name": "no"}]), 400),
        ("/v2/models/words/infer", deployed.infer_body(predicted.rows(1, poisoned=(0,))), 500),
    ],
)
def test_what_is_wrong_is_told(port: int, path: str, body: object, code: int) -> None:
    found, answer, _ = deployed.ask(port, path, body)
    assert found == code
    assert isinstance(answer["error"], str)


def test_a_deadline_that_is_no_number_is_told(port: int) -> None:
    body = deployed.infer_body(predicted.rows(1))
    assert deployed.ask(port, "/v2/models/words/infer", body, {"mlopt-timeout-ms": "soon"})[0] == 400
    assert deployed.ask(port, "/v2/models/words/infer", body, {"mlopt-timeout-ms": "nan"})[0] == 400


def test_a_truncated_model_is_never_served(place: Path, tmp_path: Path, port: int) -> None:
    import shutil

    shutil.copytree(place / "out", tmp_path / "out")
    deployed.truncate(tmp_path / "out" / "models" / "words" / "1" / "model.onnx")
    done = subprocess.run(
        [engine_homes.python("fastapi"), "app.py", "--port", str(deployed.free_port())], cwd=tmp_path / "out",
        capture_output=True, text=True, timeout=60, check=False, env=deployed.environment(),
    )  # fmt: skip
    assert done.returncode == 4
    assert "it is not what was signed" in done.stderr


def test_what_is_under_way_when_it_is_ended_is_answered(tmp_path: Path) -> None:
    python = engine_homes.python("fastapi")
    late = deployed.artifact(tmp_path / "late", partial(deployed.slow, iterations=600_000), batch_size=1)
    deployed.written(tmp_path / "out", "fastapi", late, slo_ms=60_000)
    port, body = deployed.free_port(), deployed.infer_body({"x": np.ones((1, 4), np.float32)})
    command, ready = [python, "app.py", "--port", str(port)], ["/v2/models/late/ready"]
    with deployed.running(command, tmp_path / "out", port, ready) as server, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(deployed.ask, port, "/v2/models/late/infer", body) for _ in range(4)]
        while 'mlopt_queue_rows{model="late"} 2.0' not in deployed.ask(port, "/metrics")[1]:
            assert not any(each.done() for each in asked), "some were answered before it could be ended"
        server.terminate()
        assert [each.result()[0] for each in asked] == [200] * 4
        assert server.wait(30) == 0
