"""The routes of a server: those of the Open Inference Protocol, ``/metrics``, and what is added to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mlopt.serve import metadata
from mlopt.serve.faults import AnswerError
from mlopt.serve.inference import Inference, identity_headers, refused
from mlopt.serve.metrics import CONTENT_TYPE
from mlopt.serve.models import Models, ServedVersion

if TYPE_CHECKING:
    from starlette.requests import Request


def application(models: Models, inference: Inference, more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the ASGI application."""
    routes = _Routes(models, inference)
    return Starlette(
        routes=[*routes.all(), *more],
        exception_handlers={AnswerError: _told, HTTPException: _of_starlette, Exception: _bug},
    )


class _Routes:
    def __init__(self, models: Models, inference: Inference) -> None:
        self._models, self._inference = models, inference

    def all(self) -> list[Route]:
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        routes = [
            Route("/v2", self.server), Route("/v2/health/live", self.live), Route("/v2/health/ready", self.ready),
            Route("/metrics", self.metrics),
        ]  # fmt: skip
        for path in (model, version):
            routes += [
                Route(path, self.described), Route(f"{path}/ready", self.model_ready),
                Route(f"{path}/infer", self.infer, methods=["POST"]),
            ]  # fmt: skip
        return routes

    async def server(self, _request: Request) -> Response:
        return JSONResponse(metadata.of_server())

    async def live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _request: Request) -> Response:
        return _readiness(self._inference.drain.ready and self._models.ready)

    async def metrics(self, _request: Request) -> Response:
        return Response(self._inference.metrics.text(), media_type=CONTENT_TYPE)

    async def described(self, request: Request) -> Response:
        model = self._models.named(request.path_params["model"])
        version = self._version(request)
        return JSONResponse(metadata.of_model(model, version), headers=identity_headers(version))

    async def model_ready(self, request: Request) -> Response:
        model = self._models.named(request.path_params["model"])
        if "version" in request.path_params:
            self._version(request)
            return _readiness(self._inference.drain.ready)
        return _readiness(self._inference.drain.ready and model.ready)

    async def infer(self, request: Request) -> Response:
        model = self._models.named(request.path_params["model"])
        return await self._inference.answer(request, model, request.path_params.get("version"))

    def _version(self, request: Request) -> ServedVersion:
        """Return the version that is asked about, or the one with the largest weight."""
        model = self._models.named(request.path_params["model"])
        asked = request.path_params.get("version")
        if asked is not None:
            return model.of_version(asked)
        return max(model.versions.values(), key=lambda each: model.traffic.weight(each.digest))


def _readiness(ready: bool) -> Response:
    return JSONResponse({"ready": ready}, 200 if ready else 503)


async def _told(_request: Request, error: Exception) -> Response:
    if not isinstance(error, AnswerError):
        raise error
    return refused(error)


async def _of_starlette(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = error.detail if isinstance(error, HTTPException) else "a fault of the server"
    return refused(AnswerError(status, what))


async def _bug(_request: Request, error: Exception) -> Response:
    return refused(AnswerError(500, f"a fault of the server: {type(error).__name__}"))
