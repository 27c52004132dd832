"""Versions loaded, weighed and unloaded: only with the token, all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from served_floor import AUTHORIZED, Parts, answer, parts
from served_models import Doubling, loaded, row
from virtual_time import run

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.serve.admin import fits_beside
from mlopt.serve.app import application
from mlopt.serve.faults import AnswerError
from mlopt.serve.traffic import Traffic

A, B = "a" * 64, "b" * 64


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("next", "old", "odd", "other", "again"):
        (tmp_path / name).mkdir()
    return tmp_path


def server(repository: Path, **changes: Any) -> Parts:
    found = parts(loaded(digest=A, version=2), repository=repository, **changes)
    found.candidates |= {
        "next": loaded(Doubling(3.0), digest=B, version=3),
        "old": loaded(digest="c" * 64, version=1),
        "odd": loaded(digest="d" * 64, version=3, outputs=(TensorSpec("z", "float32", ("batch", 2)),)),
        "other": loaded(digest="e" * 64, version=3, name="other"),
        "again": loaded(digest=A, version=2),
    }  # fmt: skip
    return found


def test_without_the_token_nothing_is_told_or_done(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        for method, path in (
            ("GET", "models"), ("POST", "models/double/load"), ("PUT", "models/double/traffic"),
            ("POST", "models/double/unload"), ("POST", "drain"), ("GET", "models/nobody-has/load"),
        ):  # fmt: skip
            for given in (None, "Bearer wrong", AUTHORIZED["Authorization"] + "x"):
                reply = await asked.ask(method, f"/admin/{path}", {}, {"Authorization": given} if given else {})
                assert reply.status in (401, 405)
        assert asked.inference.drain.ready
        without = application(asked.models, asked.inference)
        asked.app = without
        assert (await asked.admin("GET", "models")).status == 404

    run(work())


def test_load_weigh_unload(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        reply = await asked.admin("POST", "models/double/load", {"artifact": "next"})
        assert (reply.status, reply.document) == (200, {"digest": B, "version": 3})
        assert answer(await asked.infer(row(1.0))).outputs["y"][0, 0] == 2.0, "a new version has no weight"
        reply = await asked.admin("PUT", "models/double/traffic", {"weights": {A: 0, B: 100}})
        assert reply.status == 200
        assert answer(await asked.infer(row(1.0))).outputs["y"][0, 0] == 3.0
        listed = (await asked.admin("GET", "models")).document["models"]["double"]["versions"]
        assert [(each["digest"], each["state"], each["weight"]) for each in listed] == [
            (A, "ready", 0.0), (B, "ready", 100.0),
        ]  # fmt: skip
        assert (await asked.admin("POST", "models/double/unload", {"digest": B})).status == 409
        assert (await asked.admin("POST", "models/double/unload", {"digest": A})).status == 200
        assert list(asked.models.named("double").versions) == [B]
        assert (await asked.admin("POST", "models/double/unload", {"digest": A})).status == 404

    run(work())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"artifact": "old"}, 409, "older than"), ({"artifact": "odd"}, 409, "other inputs or outputs"),
        ({"artifact": "other"}, 409, "of another model"), ({"artifact": "again"}, 409, "loaded already"),
        ({"artifact": "../.."}, 403, "inside a repository"), ({"artifact": 7}, 400, "is a path"),
        ({}, 400, "is a path"),
        ({"artifact": "next", "digest": 7}, 400, "is text"), ({"artifact": "next", "more": 1}, 400, "known here"),
        (b"{", 400, "not JSON"), (b"[]", 400, "is an object"),
    ],
)  # fmt: skip
def test_a_bad_candidate_leaves_all_as_it_was(repository: Path, body: Any, status: int, said: str) -> None:
    async def work() -> None:
        asked = server(repository)
        reply = await asked.admin("POST", "models/double/load", body)
        assert (reply.status, said in reply.document["error"]) == (status, True), reply
        assert list(asked.models.named("double").versions) == [A]
        assert answer(await asked.infer(row(1.0))).outputs["y"][0, 0] == 2.0

    run(work())


def test_a_candidate_is_listed_while_it_is_opened(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        listed: list[Any] = []

        def look(_model: Any, _asked: Any) -> Any:
            listed.extend(asked.models.named("double").described())
            raise ModelError("no")

        asked.opening.append(look)
        reply = await asked.admin("POST", "models/double/load", {"artifact": "next", "digest": B})
        assert reply.status == 409
        assert [(each["state"], each["digest"]) for each in listed] == [("loading", B), ("ready", A)]
        assert len(asked.models.named("double").described()) == 1

    run(work())


def test_an_older_version_is_loaded_where_that_is_said(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        reply = await asked.admin("POST", "models/double/load", {"artifact": "old", "allow_older": True})
        assert reply.status == 200

    run(work())


def test_traffic_that_is_refused_changes_nothing(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        before = asked.models.named("double").traffic
        for body in ({"weights": {A: 90}}, {"weights": {A: 50, "z": 50}}, {"weights": {A: 100}, "shadow": {"z": 5}}):
            assert (await asked.admin("PUT", "models/double/traffic", body)).status in (400, 409)
        assert asked.models.named("double").traffic is before

    run(work())


def test_a_shadow_that_is_unloaded_is_asked_no_more(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        await asked.admin("POST", "models/double/load", {"artifact": "next"})
        await asked.admin("PUT", "models/double/traffic", {"weights": {A: 100}, "shadow": {B: 50}})
        assert asked.models.named("double").traffic == Traffic({A: 100.0}, {B: 50.0})
        assert (await asked.admin("POST", "models/double/unload", {"digest": B})).status == 200
        assert asked.models.named("double").traffic == Traffic({A: 100.0})

    run(work())


def test_draining_by_the_api_is_as_by_a_signal_but_for_the_end(repository: Path) -> None:
    async def work() -> None:
        asked = server(repository)
        assert (await asked.admin("POST", "drain")).document == {"draining": True, "in_flight": 0}
        assert (await asked.infer(row(1.0))).status == 503
        assert (await asked.ask("GET", "/v2/health/ready")).status == 503
        assert (await asked.admin("GET", "models")).status == 200

    run(work())


def test_names_of_free_axes_are_no_part_of_the_interface(repository: Path) -> None:
    async def work() -> None:
        model = server(repository).models.named("double")
        renamed = loaded(digest="f" * 64, inputs=(TensorSpec("x", "float32", ("n", 2)),))
        fits_beside(model)(renamed)
        with pytest.raises(AnswerError):
            fits_beside(model)(loaded(digest="f" * 64, inputs=(TensorSpec("x", "float32", (1, 2)),)))

    run(work())
