"""The whole load test, against small servers on loopback."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
from aiohttp import web
from load_server import right, served

from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, UserError
from mlopt.loadtest import run as whole
from mlopt.loadtest.from_recipe import RecipeSamples
from mlopt.loadtest.request import LoadRequest
from mlopt.loadtest.run import run
from mlopt.loadtest.slo import parse_slo
from mlopt.results.serving import LoadTestRecord

SLO = parse_slo("p50=2s,error_rate=40%")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return predicted.artifact(tmp_path / "words")


def put(target: str, **parts: Any) -> LoadTestRecord:
    return run(LoadRequest(**({"target": target, "rate": 60.0, "seconds": 1.0} | parts)), lambda *_: None)


def root(artifact: Path) -> str:
    return verify(artifact).root


@pytest.mark.process
def test_a_server_that_answers_right_keeps_its_limits(artifact: Path) -> None:
    with served(right(root(artifact))) as url:
        found = put(url, artifact=artifact, gates=SLO)
    assert found.figures.errors == {}
    assert found.figures.requests > 20
    assert (found.served.model, found.served.digest, found.served.url) == ("words", root(artifact), url)
    assert {gate.metric for gate in found.gates} == {"serving.p50_ms", "serving.error_rate"}
    assert found.doubt is not None or found.verdict == "pass"
    assert found.data == "made up"
    assert "digest" in found.checked
    assert not any("named no artifact" in note for note in found.notes)


@pytest.mark.process
def test_the_recipe_of_the_artifact_says_what_is_asked(artifact: Path, tmp_path: Path) -> None:
    predicted.words(tmp_path / "words.onnx")
    np.savez(tmp_path / "rows.npz", **predicted.rows(40))
    (tmp_path / "words.yaml").write_text(
        "apiVersion: mlopt/v1\nname: words\nmodel: {source: ./words.onnx}\npasses: [simplify]\n"
        "data: {evaluation: {source: ./rows.npz}}\n"
    )
    with served(right(root(artifact))) as url:
        found = put(url, artifact=artifact, recipe=RecipeSamples(tmp_path / "words.yaml", allow_code=False), samples=32)
    assert found.figures.errors == {}
    assert found.samples == 32
    assert found.data == f"evaluation data of {tmp_path / 'words.yaml'}"
    assert not any("made up" in note for note in found.notes)


@pytest.mark.process
def test_a_server_that_names_no_artifact_is_told_of(artifact: Path) -> None:
    with served(right()) as url:
        found = put(url, artifact=artifact)
    assert found.figures.errors == {}
    assert any("named no artifact" in note for note in found.notes)


@pytest.mark.process
def test_wrong_answers_and_anothers_digest_fail_however_fast(artifact: Path) -> None:
    with served(right(root(artifact), shift=0.5)) as url:
        wrong = put(url, artifact=artifact)
    assert wrong.figures.errors == {"wrong": wrong.figures.requests}
    assert wrong.figures.answered == 0
    assert wrong.verdict == "fail"
    assert "sample" in wrong.figures.examples["wrong"]
    with served(right("cd" * 32)) as url:
        other = put(url, artifact=artifact)
    assert other.figures.errors == {"digest": other.figures.requests}
    assert other.verdict == "fail"


@pytest.mark.process
def test_without_an_artifact_the_server_says_what_it_takes_and_nothing_is_compared() -> None:
    with served(right()) as url:
        found = put(url, model="words", constant=True)
    assert found.figures.requests == found.figures.answered == 60
    assert found.verdict is None or found.doubt is not None
    assert found.arrivals == "constant"
    assert "not held against anything" in found.checked


@pytest.mark.process
def test_refusals_are_counted_by_their_code(artifact: Path) -> None:
    count = iter(range(10_000))
    answers = right(root(artifact))

    async def sometimes(request: web.Request) -> web.Response:
        if next(count) % 4:
            return await answers(request)
        return web.json_response({"error": "the queue is full"}, status=503)

    with served(sometimes) as url:
        found = put(url, artifact=artifact, gates=SLO)
    assert set(found.figures.errors) == {"http_503"}
    assert found.figures.examples == {"http_503": "the queue is full"}
    assert found.figures.answered + found.figures.errors["http_503"] == found.figures.requests


@pytest.mark.process
def test_two_servers_are_asked_in_turn(artifact: Path) -> None:
    with served(right(root(artifact), delay_s=0.03)) as slow, served(right("cd"), "words") as other:
        found = put(slow, artifact=artifact, against=other, rate=100.0, seconds=3.0)
    assert found.comparison is not None
    assert abs(found.comparison.figures.requests - found.figures.requests) <= 1
    assert found.comparison.figures.errors == {}  # it is not held against the artifact
    assert found.comparison.differences[0].found in ("slower", "no difference shown")
    assert found.comparison.other.url == other


@pytest.mark.process
def test_what_cannot_be_sent_is_counted(artifact: Path) -> None:
    with served(right(root(artifact), delay_s=0.5)) as url:
        found = put(url, artifact=artifact, max_in_flight=2, samples=2)
    assert found.figures.errors["unsent"] > 10
    assert found.figures.in_flight == 2
    assert found.verdict == "inconclusive"
    assert found.remedy is not None
    assert "--max-in-flight" in found.remedy


@pytest.mark.process
def test_an_artifact_is_served_and_its_server_ended(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with served(right(root(artifact))) as url:
        says = f"import sys, time; print('serving on {url}', file=sys.stderr, flush=True); time.sleep(60)"
        monkeypatch.setattr(whole, "command", lambda *_: [sys.executable, "-c", says])
        request = LoadRequest(target=str(artifact), rate=60.0, seconds=1.0)
        found = run(request, lambda stage, *_: told.append(stage))
    assert found.figures.errors == {}
    assert "start the server" in told


def test_what_cannot_be_done_is_refused_without_a_server(artifact: Path) -> None:
    with pytest.raises(UserError, match="what to keep"):
        put("http://127.0.0.1:1", ramp=True)
    (artifact / "model.onnx").write_bytes(b"another")
    with pytest.raises(IntegrityError):
        put("http://127.0.0.1:1", artifact=artifact)


def test_where_no_server_answers_that_is_said() -> None:
    with served(right()) as url:
        pass
    with pytest.raises(UserError, match="no server answers here"):
        put(url, model="words")
