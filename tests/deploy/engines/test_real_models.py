"""The recipes' own models, deployed by the one command: mnist_cnn, minilm, and two models that are asked as one.

Answers are held against the artifact's own, by what its report says of its fidelity; requests are joined.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import deployed
import numpy as np
import pytest
import real_artifacts
from engine_runs import Asked, ServedBy, served
from served_models import gathered

from mlopt import report as reports
from mlopt.artifact.opened import opened
from mlopt.artifact.verify import verify
from mlopt.serve.agreement import relative_error

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SERVERS = ("triton", "bentoml", "embedded")
REQUESTS = 128
BOTH = "pixels-mnist_cnn"
Feeds = Mapping[str, np.ndarray]
LOG = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = real_artifacts.place(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPT_CONFIG", str(place / "config"))
        return real_artifacts.made(place)


@pytest.fixture(autouse=True)
def the_key_that_signed(folder: Path, own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPT_CONFIG", str(folder / "config"))


@pytest.fixture(scope="module")
def digits() -> list[np.ndarray]:
    return list(real_artifacts.digits(REQUESTS))


def own_answers(artifact: Path, feeds: Sequence[Feeds]) -> list[dict[str, np.ndarray]]:
    """Return what the artifact answers to each request alone."""
    with opened(artifact, None) as own:
        return [dict(own.session.run(dict(each))) for each in feeds]


def answers(server: ServedBy, model: str, feeds: Sequence[Feeds]) -> list[dict[str, np.ndarray]]:
    """Return what a server answers, asked by 16 at a time; some of it in joined inferences."""
    before = server.executions(model)
    found = gathered(lambda number: deployed.outputs_of(server.infer(model, feeds[number])), len(feeds))
    if model != BOTH:
        assert 0 < server.executions(model) - before < len(feeds)
    return found


def check(artifact: Path, found: Sequence[Feeds], expected: Sequence[Feeds], times: float = 1) -> None:
    """Hold answers against those of the artifact: no further off than that is from its source, or so many times."""
    fidelity = reports.read(artifact / "report.json").final.fidelity
    assert fidelity is not None
    whole = [
        {name: np.concatenate([each[name] for each in some]).astype(np.float32) for name in expected[0]}
        for some in (expected, found)
    ]
    error = relative_error(*whole)
    off = max(float(np.abs(whole[0][name] - whole[1][name]).max()) for name in whole[0])
    figures = (artifact.name, error, fidelity.relative_error, off, fidelity.max_abs)
    LOG.info("%s: relative error %.3g of %.3g, at most %.3g of %.3g", *figures)
    assert error <= times * fidelity.relative_error
    assert off <= times * fidelity.max_abs


@pytest.mark.parametrize("name", SERVERS)
def test_mnist_cnn_and_pixels_before_it(name: str, folder: Path, digits: list[np.ndarray], tmp_path: Path) -> None:
    """On the embedded server they stand side by side, and whoever asks gives the one's answer to the other."""
    first, second = folder / "pixels", folder / "mnist_cnn"
    bytes_ = [{"pixels": each} for each in digits]
    pictures = own_answers(first, bytes_)
    expected = own_answers(second, pictures)
    with served(name, tmp_path / "out", Asked([first, second], slo_ms=10_000, names=[BOTH])) as server:
        check(second, answers(server, "mnist_cnn", pictures), expected)
        before = [server.executions(each.name) for each in (first, second)]
        if name == "embedded":
            through = [{"image": each["image"].astype(np.float32)} for each in answers(server, "pixels", bytes_)]
            check(second, answers(server, "mnist_cnn", through), expected)
        else:
            check(second, answers(server, BOTH, bytes_), expected)
            assert digests(name, server.infer(BOTH, bytes_[0])) == (verify(first).root, verify(second).root)
        ran = [server.executions(each.name) - past for each, past in zip((first, second), before, strict=True)]
    assert all(0 < each < REQUESTS for each in ran)


def digests(server: str, answer: dict[str, Any]) -> tuple[str, str]:
    """Return the digests of both models that an answer of an ensemble carries."""
    if server == "bentoml":
        return answer["parameters"]["digest_first"], answer["parameters"]["digest"]
    told = {one["name"]: one["data"][0] for one in answer["outputs"] if one["datatype"] == "BYTES"}
    return told["mlopt_digest_first"], told["mlopt_digest"]


@pytest.mark.parametrize("name", SERVERS)
def test_minilm_in_batches_that_were_asked_for(name: str, folder: Path, tmp_path: Path) -> None:
    """It was measured one sentence at a time, and its dynamic INT8 scales by the batch: --max-batch says to join.

    Both answers, in company and alone, may be as far from the source as the fidelity says, in different directions.
    """
    artifact = folder / "minilm"
    feeds = list(real_artifacts.sentences(REQUESTS))
    with served(name, tmp_path / "out", Asked([artifact], slo_ms=10_000, max_batch=8)) as server:
        found = answers(server, "minilm", feeds)
    check(artifact, found, own_answers(artifact, feeds), times=2)


@pytest.mark.parametrize("name", SERVERS)
def test_minilm_alone_is_as_it_was_measured(name: str, folder: Path, tmp_path: Path) -> None:
    artifact = folder / "minilm"
    feeds = list(real_artifacts.sentences(32))
    with served(name, tmp_path / "out", Asked([artifact], slo_ms=10_000)) as server:
        before = server.executions("minilm")
        found = gathered(lambda number: deployed.outputs_of(server.infer("minilm", feeds[number])), len(feeds))
        assert server.executions("minilm") - before == len(feeds)
    expected = own_answers(artifact, feeds)
    assert all(
        np.allclose(one["embedding"], other["embedding"], atol=1e-6) for one, other in zip(found, expected, strict=True)
    )
