"""One inference request from its body to its answer: read, checked, run or found in the cache, and written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from mlopt.core.errors import MloptError
from mlopt.protocol.messages import HEADER_LENGTH, InferAnswer, InferRequest, read_request, write_answer
from mlopt.protocol.tensors import ProtocolError
from mlopt.serve.bodies import TIMEOUT_HEADER, body_of, timeout_s
from mlopt.serve.drain import Drain
from mlopt.serve.faults import AnswerError, ModelFailed, bad, sentence
from mlopt.serve.metadata import identity
from mlopt.serve.metrics import Metrics
from mlopt.serve.mirror import Mirror
from mlopt.serve.models import ServedModel, ServedVersion
from mlopt.serve.response_cache import ResponseCache, key_of
from mlopt.serve.tap import Tap

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]
_SMALL = 1 << 16
"""Bytes that are read or written in the event loop; more of them would hold up all other requests."""
_GONE = 499
"""What is counted where whoever asked has gone; nobody gets it."""


@dataclass(frozen=True)
class Inference:
    """What inference requests need; one for a server."""

    metrics: Metrics
    drain: Drain
    mirror: Mirror
    cache: ResponseCache | None
    tap: Tap | None
    max_body: int
    point: Callable[[], float]
    """Draws from [0, 1)."""

    async def answer(self, request: Request, model: ServedModel, asked_version: str | None) -> Response:
        """Answer a request to one model, of the version that it names or that its turn is."""
        began = asyncio.get_running_loop().time()
        digest, response = "", None
        try:
            version = model.chosen(self.point()) if asked_version is None else model.of_version(asked_version)
            digest = version.digest
            with self.drain.request():
                response = await self._answered(request, model, version, began, pinned=asked_version is not None)
        except ClientDisconnect:
            response = Response(status_code=_GONE)
        except (AnswerError, ProtocolError) as error:
            response = refused(error, closing=not self.drain.accepting)
        finally:
            code = 500 if response is None else response.status_code
            self.metrics.request(model.name, digest, code, asyncio.get_running_loop().time() - began)
        return response

    async def _answered(
        self, request: Request, model: ServedModel, version: ServedVersion, began: float, *, pinned: bool
    ) -> Response:
        default_s = version.loaded.limits.deadline_s
        deadline = began + timeout_s(request.headers.get(TIMEOUT_HEADER), default_s)
        body = await body_of(request, self.max_body, deadline)
        asked = await _off_loop(len(body), lambda: read_request(body, request.headers.get(HEADER_LENGTH)))
        wanted = _wanted(asked, version)
        feeds = version.check.checked(asked.inputs)
        if version.lane.rows(feeds) == 0:
            raise bad("there are no rows in the request")
        by, outputs = await self._outputs(model, version, feeds, deadline, pinned=pinned)
        told = InferAnswer(
            {name: outputs[name] for name in wanted}, model.name, str(by.loaded.version), asked.id, identity(by)
        )
        size = sum(array.nbytes for array in told.outputs.values())
        message = await _off_loop(size, lambda: write_answer(told, asked.binary))
        return Response(message.body, headers={**message.headers, **identity_headers(by)})

    async def _outputs(
        self, model: ServedModel, version: ServedVersion, feeds: Arrays, deadline: float, *, pinned: bool
    ) -> tuple[ServedVersion, Arrays]:
        """Return the outputs, and the version that they are of: another one where a fallback answered."""
        if self.cache is None:
            return await self._run(model, version, feeds, deadline, pinned=pinned)
        size = sum(array.nbytes for array in feeds.values())
        key = await _off_loop(size, lambda: key_of(version.digest, feeds))
        found = self.cache.get(key)
        self.metrics.cached(model.name, hit=found is not None)
        if found is not None:
            return version, found
        by, outputs = await self._run(model, version, feeds, deadline, pinned=pinned)
        if by is version:
            self.cache.put(key, outputs)
        return by, outputs

    async def _run(
        self, model: ServedModel, version: ServedVersion, feeds: Arrays, deadline: float, *, pinned: bool
    ) -> tuple[ServedVersion, Arrays]:
        by = version
        try:
            outputs = await version.lane.answer(feeds, deadline)
            model.streaks.succeeded(version.digest)
        except ModelFailed:
            before = None if pinned or not model.fallback_after else model.before(version.digest)
            if before is None:
                raise
            by, outputs = before, await before.lane.answer(feeds, deadline)
            self._fell_back(model, version)
        self.mirror.reflect(model, by, feeds, outputs)
        if self.tap is not None:
            self.tap.show(model.name, by.digest, feeds, outputs, by.lane.rows(feeds))
        return by, outputs

    def _fell_back(self, model: ServedModel, version: ServedVersion) -> None:
        """Count a failure that was no fault of the request, since the version before answered it."""
        self.metrics.fell_back(model.name, version.digest)
        if model.streaks.failed(version.digest) and version.state == "ready":
            model.demote(version.digest, f"failed {model.fallback_after} times in a row")
            self.metrics.weights(model.name, model.versions, model.traffic.weights)


def identity_headers(version: ServedVersion) -> dict[str, str]:
    """Return the headers that say which artifact answered."""
    return {f"mlopt-{name}": value for name, value in identity(version).items()}


def refused(error: MloptError, *, closing: bool = False) -> Response:
    """Return an error as it is answered; a server that leaves, or has not read the body, closes the connection."""
    status = error.status if isinstance(error, AnswerError) else 400
    headers = dict(error.headers) if isinstance(error, AnswerError) else {}
    if closing or (isinstance(error, AnswerError) and error.unread):
        headers["Connection"] = "close"
    return JSONResponse({"error": sentence(error)}, status, headers)


def _wanted(asked: InferRequest, version: ServedVersion) -> tuple[str, ...]:
    known = tuple(spec.name for spec in version.loaded.outputs)
    for name in asked.outputs or ():
        if name not in known:
            raise bad("the model has no such output", name[:80], ", ".join(known))
    return asked.outputs or known


async def _off_loop(size: int, work: Callable[[], T]) -> T:
    """Do a little work here, and more of it in a thread."""
    return work() if size <= _SMALL else await asyncio.to_thread(work)
