"""BentoML, really served: answers, batches, limits, and what is never served."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import deployed
import engine_homes
import numpy as np
import predicted
import pytest

from mlopt.artifact.opened import opened
from mlopt.artifact.verify import verify

pytestmark = pytest.mark.slow
READY = ("/readyz", "/v2/models/words/ready", "/v2/models/first/ready")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


def command(port: int) -> list[str]:
    bento = engine_homes.home("bentoml") / "bin" / "bentoml"
    return [str(bento), "serve", "service:Models", "--host", "127.0.0.1", "--port", str(port)]


def around(place: Path) -> dict[str, str]:
    bin_ = engine_homes.home("bentoml") / "bin"
    return {"PATH": f"{bin_}:/usr/bin:/bin", "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(place / "bentoml")}


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    engine_homes.home("bentoml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPT_CONFIG", str(place / "config"))
        words = deployed.artifact(place / "words")
        first = deployed.artifact(place / "first", deployed.doubled, batch_size=1)
        deployed.written(place / "out", "bentoml", words, first, slo_ms=2000)
    port = deployed.free_port()
    with deployed.running(command(port), place / "out", port, READY, seconds=120, **around(place)):
        yield port


def test_answers_are_the_artifacts_and_carry_its_digest(
    port: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPT_CONFIG", str(place / "config"))
    feeds = predicted.rows(3)
    with opened(place / "words", None) as own:
        expected = own.session.run(feeds)
    root = verify(place / "words").root
    code, answers, _ = deployed.ask(port, "/infer/words", {"requests": [deployed.infer_body(feeds, id="7")]})
    assert code == 200, answers
    found = deployed.outputs_of(answers[0])
    assert all(np.allclose(found[name], expected[name]) for name in expected)
    assert (answers[0]["parameters"], answers[0]["id"]) == ({"digest": root, "version": "1"}, "7")
    assert deployed.ask(port, "/v2/models/words")[1]["parameters"]["digest"] == root
    assert deployed.status(port, "/v2/models/nobody/ready") == 404


def test_a_batch_of_one_is_served_without_a_batcher(port: int) -> None:
    """BentoML takes no batches of 1 at most."""
    body: Any = {"requests": [deployed.infer_body({"x": np.full((1, 4), value, np.float32)}) for value in (1, 2)]}
    found = deployed.together(4, lambda _: deployed.ask(port, "/infer/first", body)[:2])
    assert {code for code, _ in found} == {200}
    assert [deployed.outputs_of(each)["h"][0, 0] for each in found[0][1]] == [2, 4]


def test_requests_that_wait_are_joined(port: int) -> None:
    def ask(_: int) -> int:
        return deployed.ask(port, "/infer/words", {"requests": [deployed.infer_body(predicted.rows(1))]})[0]

    before = executions(port)
    codes = [code for _ in range(8) for code in deployed.together(16, ask)]
    good = codes.count(200)
    assert set(codes) <= {200, 503}
    assert good >= 64
    assert 0 < executions(port) - before < good


def executions(port: int) -> float:
    text = deployed.ask(port, "/metrics")[1]
    found = [
        line for line in text.splitlines() if line.startswith("mlopt_executions_total") and 'model="words"' in line
    ]
    return sum(float(line.split()[-1]) for line in found)


def test_one_that_fails_spoils_no_other(port: int) -> None:
    bodies = [
        deployed.infer_body(predicted.rows(1)),
        deployed.infer_body(predicted.rows(1, poisoned=(0,))),
        {"inputs": 3},
    ]
    code, answers, _ = deployed.ask(port, "/infer/words", {"requests": bodies})
    assert code == 200
    assert [each.get("code") for each in answers] == [None, 500, 400]


def test_a_full_queue_and_a_late_answer(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer than the deadline that was derived, asked by more than may be under way."""
    monkeypatch.setenv("MLOPT_CONFIG", str(place / "config"))
    late = deployed.artifact(tmp_path / "late", partial(deployed.slow, iterations=600_000), batch_size=2)
    deployed.written(tmp_path / "out", "bentoml", late, slo_ms=100)
    port = deployed.free_port()
    body: Any = {"requests": [deployed.infer_body({"x": np.ones((1, 4), np.float32)})]}
    with deployed.running(command(port), tmp_path / "out", port, ["/readyz"], seconds=120, **around(tmp_path)):
        found = deployed.together(48, lambda _: deployed.ask(port, "/infer/late", body)[:2])
    codes = {code for code, _ in found}
    assert {429, 504} <= codes <= {200, 429, 503, 504}
    assert (429, {"error": "Too many requests"}) in found


def test_a_truncated_model_is_never_served(place: Path, tmp_path: Path, port: int) -> None:
    shutil.copytree(place / "out", tmp_path / "out")
    deployed.truncate(tmp_path / "out" / "models" / "words" / "1" / "model.onnx")
    done = subprocess.run(
        command(deployed.free_port()), cwd=tmp_path / "out", capture_output=True, text=True, timeout=120, check=False,
        env=deployed.environment(**around(tmp_path)),
    )  # fmt: skip
    assert done.returncode == 4, done.stderr[-2000:]
    assert "it is not what was signed" in done.stderr
