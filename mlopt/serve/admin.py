"""Versions loaded, given requests and unloaded while a server runs, by whoever has its token.

A candidate that is not what was signed, or does not fit in the place of what serves, is refused (409) and changes
nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlopt.core.errors import MloptError
from mlopt.serve import traffic
from mlopt.serve.bodies import body_of
from mlopt.serve.faults import AnswerError, bad, sentence
from mlopt.serve.inference import Inference, refused
from mlopt.serve.models import LoadedModel, Models, ServedModel, ServedVersion
from mlopt.serve.repository import confined
from mlopt.serve.token import is_bearer

if TYPE_CHECKING:
    from starlette.requests import Request

_MOST_BYTES, _PATIENCE_S = 1 << 16, 10.0
Answer = Callable[["Request"], Awaitable[Response]]


@dataclass(frozen=True)
class NextVersion:
    """An artifact that is to be loaded beside what serves."""

    directory: Path
    digest: str | None
    min_version: int | None
    fits: Callable[[LoadedModel], None]
    """Raises ``AnswerError`` (409) where it cannot stand in the place of what serves."""


Add = Callable[[ServedModel, NextVersion], Awaitable[ServedVersion]]


class Admin:
    """The admin API; without a token there is none."""

    def __init__(
        self, models: Models, inference: Inference, token: str, repositories: Sequence[Path], add: Add
    ) -> None:
        """``add`` opens a candidate and takes it into the model, with no weight."""
        self._models, self._inference, self._token = models, inference, token
        self._repositories, self._add = tuple(repositories), add

    def routes(self) -> list[Route]:
        """Return the routes, each behind the token."""
        one = "/admin/models/{model}"
        found = [
            ("/admin/models", "GET", self._all), (f"{one}/load", "POST", self._load),
            (f"{one}/traffic", "PUT", self._traffic), (f"{one}/unload", "POST", self._unload),
            ("/admin/drain", "POST", self._drain),
        ]  # fmt: skip
        if self._inference.tap is not None:
            found.append((f"{one}/sketches", "GET", self._sketches))
        return [Route(path, self._guarded(answer), methods=[method]) for path, method, answer in found]

    def _guarded(self, answer: Answer) -> Answer:
        async def guarded(request: Request) -> Response:
            if not is_bearer(request.headers.get("authorization"), self._token):
                return JSONResponse(
                    {"error": "this takes the server's token"}, 401, {"WWW-Authenticate": "Bearer"}
                )  # fmt: skip
            try:
                return await answer(request)
            except AnswerError as error:
                return refused(error)

        return guarded

    def _model(self, request: Request) -> ServedModel:
        return self._models.named(request.path_params["model"])

    async def _all(self, _request: Request) -> Response:
        return JSONResponse({"models": {model.name: {"versions": model.described()} for model in self._models}})

    async def _load(self, request: Request) -> Response:
        model, asked = self._model(request), await _document(request, {"artifact", "digest", "allow_older"})
        place = confined(asked.get("artifact"), self._repositories)
        digest, older = asked.get("digest"), asked.get("allow_older", False)
        if not isinstance(digest, str | None) or not isinstance(older, bool):
            raise bad("`digest` is text, and `allow_older` true or false")
        async with model.loading:
            newest = max((each.loaded.version for each in model.serving), default=None)
            candidate = NextVersion(place, digest, None if older else newest, fits_beside(model))
            model.awaited = digest or ""
            try:
                version = await self._add(model, candidate)
            except AnswerError:
                raise
            except MloptError as error:
                raise AnswerError(409, sentence(error)) from error
            finally:
                model.awaited = None
        self._tell(model)
        return JSONResponse({"digest": version.digest, "version": version.loaded.version})

    async def _traffic(self, request: Request) -> Response:
        model, asked = self._model(request), await _document(request, {"weights", "shadow"})
        model.traffic = traffic.asked(asked, model.usable)
        self._tell(model)
        return JSONResponse({"weights": dict(model.traffic.weights), "shadow": dict(model.traffic.shadow)})

    async def _unload(self, request: Request) -> Response:
        model, asked = self._model(request), await _document(request, {"digest"})
        version = model.versions.get(str(asked.get("digest")))
        if version is None or version.state == "draining":
            raise AnswerError(404, "no version of this digest is loaded")
        if model.traffic.weight(version.digest):
            raise AnswerError(409, "the version has a weight: give its requests to another one first")
        model.traffic = model.traffic.without(version.digest)
        version.state = "draining"
        await version.close()
        del model.versions[version.digest]
        self._inference.metrics.weights(model.name, [version.digest], model.traffic.weights)
        return JSONResponse({"digest": version.digest})

    async def _drain(self, _request: Request) -> Response:
        await self._inference.drain.start()
        return JSONResponse({"draining": True, "in_flight": self._inference.drain.in_flight})

    async def _sketches(self, request: Request) -> Response:
        tap = self._inference.tap
        return JSONResponse({} if tap is None else tap.observer.document(self._model(request).name))

    def _tell(self, model: ServedModel) -> None:
        self._inference.metrics.weights(model.name, model.versions, model.traffic.weights)


def fits_beside(model: ServedModel) -> Callable[[LoadedModel], None]:
    """Return what refuses an artifact that others than its clients would have to be changed for."""

    def check(loaded: LoadedModel) -> None:
        if loaded.digest in model.versions:
            raise AnswerError(409, "this artifact is loaded already", loaded.digest)
        for other in (each.loaded for each in model.versions.values()):
            if other.name != loaded.name:
                raise AnswerError(409, "the artifact is of another model", loaded.name, other.name)
            if _interface(other) != _interface(loaded):
                told = ("; ".join(map(str, (*each.inputs, *each.outputs))) for each in (loaded, other))
                raise AnswerError(409, "the artifact has other inputs or outputs", *told)

    return check


def _interface(loaded: LoadedModel) -> Any:
    """Return what clients depend on: names, types, and sizes that are not free."""
    return [
        {(spec.name, spec.dtype, tuple(-1 if isinstance(size, str) else size for size in spec.shape)) for spec in specs}
        for specs in (loaded.inputs, loaded.outputs)
    ]


async def _document(request: Request, known: set[str]) -> dict[str, Any]:
    body = await body_of(request, _MOST_BYTES, asyncio.get_running_loop().time() + _PATIENCE_S)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad("the body is not JSON") from error
    if not isinstance(found, dict) or set(found) - known:
        raise bad("the body is an object of what is known here", expected=", ".join(sorted(known)))
    return found
