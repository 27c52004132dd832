"""A rollout on the real embedded server, `mlopt serve`, in a process of its own: nothing is lost, nor bad."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from live_envoy import free_port, load, meanwhile, running, wait
from packed_artifact import pack
from rollout_world import TOKEN, a_book, own_signer, root_of

from mlopt.core.errors import IntegrityError
from mlopt.rollout import steps
from mlopt.rollout.analysis import Watching, analyze
from mlopt.rollout.calls import call
from mlopt.rollout.comparison import CanaryLimits
from mlopt.rollout.embedded import EmbeddedTarget
from mlopt.rollout.probe import AnswerProbe
from mlopt.rollout.steps import StartRequest

pytestmark = pytest.mark.slow

ROWS = {"x": np.linspace(-1, 1, 64 * 8, dtype=np.float32).reshape(8, 64)}
ASKED = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": ROWS["x"][0].tolist()}]}
).encode()


@pytest.fixture
def artifacts(tmp_path: Path) -> tuple[Path, Path]:
    """Two versions of one model, which answer alike."""
    folders = [tmp_path / "repository" / name for name in ("one", "two")]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        if number:
            shutil.copytree(folders[0] / "digits", folder / "digits")
        pack(folder, own_signer())
    return folders[0] / "digits", folders[1] / "digits"


@pytest.fixture
def target(tmp_path: Path, artifacts: tuple[Path, Path]) -> Iterator[EmbeddedTarget]:
    token, port = tmp_path / "token", free_port()
    with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
        stream.write(TOKEN)
    command = [
        sys.executable, "-m", "mlopt", "serve", str(artifacts[0]), "--port", str(port),
        "--admin-token-file", str(token), "--repository", str(tmp_path / "repository"),
        "--queue", "1000", "--deadline-ms", "10000",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with running(command, tmp_path):
        wait(lambda: call("GET", f"{url}/v2/health/ready").status == 200, 60)
        yield EmbeddedTarget(url, "digits", TOKEN)


def address(target: EmbeddedTarget) -> str:
    return target.name.removeprefix("embedded ")


def test_twenty_times_there_and_back_under_load_lose_nothing(
    target: EmbeddedTarget, artifacts: tuple[Path, Path], tmp_path: Path
) -> None:
    book, digests = a_book(tmp_path), [root_of(each) for each in artifacts]

    def roll() -> None:
        for number in range(20):
            steps.start(target, book, StartRequest(artifacts[1], None, share=30))
            time.sleep(0.1)
            steps.promote(target, book, "")
            time.sleep(0.1)
            steps.rollback(target, book, "", unload=bool(number % 2))

    answers, _ = asyncio.run(meanwhile(address(target), 60, 40, roll, whole=False, body=ASKED))
    assert answers.failed == 0
    assert set(answers.digests) == set(digests)
    assert len(answers.statuses) > 150
    assert target.serving().traffic.weights == {digests[0]: 100}


def test_what_it_finds_wrong_never_serves(target: EmbeddedTarget, artifacts: tuple[Path, Path], tmp_path: Path) -> None:
    """The server's own copy was changed: what was verified here is not what it would load."""
    theirs = tmp_path / "repository" / "theirs"
    shutil.copytree(artifacts[1], theirs)
    os.truncate(theirs / "model.onnx", 10)
    before = target.serving().traffic
    book = a_book(tmp_path)
    with pytest.raises(IntegrityError, match="refused the candidate"):
        steps.start(target, book, StartRequest(artifacts[1], None, at_target=str(theirs)))
    with pytest.raises(IntegrityError, match="refused the candidate"):
        steps.start(target, book, StartRequest(artifacts[1], None, at_target=str(artifacts[0])))
    assert target.serving().traffic == before
    answers = asyncio.run(load(address(target), 20, 40, body=ASKED))
    assert (answers.failed, set(answers.digests)) == (0, {root_of(artifacts[0])})


def test_equal_answers_are_seen_as_equal(target: EmbeddedTarget, artifacts: tuple[Path, Path], tmp_path: Path) -> None:
    """By copies that the server compares, and by rows that both are asked; the candidate is not rolled back."""
    book = a_book(tmp_path)
    steps.start(target, book, StartRequest(artifacts[1], None, share=30, mirror=50))
    watching = Watching(9, 3, act=True, probe=AnswerProbe(ROWS, per_look=10))
    work = partial(analyze, target, book, CanaryLimits(), watching)
    answers, found = asyncio.run(meanwhile(address(target), 30, 30, work, whole=False, body=ASKED))
    assert answers.failed == 0
    assert found.verdict != "fail", found.findings
    compared = next(each for each in found.findings if each.metric.startswith("answers"))
    assert compared.value == 0
    assert compared.n > 30, "more than the rows that were asked"
