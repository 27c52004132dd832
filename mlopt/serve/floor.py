"""All that one server holds while it runs: its models, their figures, and what opens and closes them."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import UserError
from mlopt.serve import traffic
from mlopt.serve.admin import Admin, NextVersion, fits_beside
from mlopt.serve.app import application
from mlopt.serve.drain import Drain
from mlopt.serve.inference import Inference
from mlopt.serve.loading import Wanted, load
from mlopt.serve.metrics import Metrics
from mlopt.serve.mirror import Mirror
from mlopt.serve.models import LoadedModel, Models, ServedModel, ServedVersion, first_takes_all
from mlopt.serve.response_cache import ResponseCache
from mlopt.serve.tap import Tap
from mlopt.sketches import SketchObserver, SketchPlan, plan_in

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from mlopt.serve.request import ServeRequest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_CLOSING_S = 5.0


class Floor:
    """To be made, used and closed in one event loop."""

    def __init__(self, request: ServeRequest) -> None:
        self._request = request
        self.models, self.drain, self.metrics = Models(), Drain(), Metrics()
        self.metrics.in_flight(lambda: self.drain.in_flight)
        self._mirror = Mirror(self.metrics, random.random)
        cache = ResponseCache(request.cache_bytes) if request.cache_bytes else None
        observer = SketchObserver(self._plan) if request.sketch else request.observer
        tap = None if observer is None else Tap(observer, self.metrics.sketched)
        self._inference = Inference(
            self.metrics, self.drain, self._mirror, cache=cache, tap=tap, max_body=request.max_body,
            point=random.random,
        )  # fmt: skip

    def application(self) -> Starlette:
        """Return the ASGI application: the routes, and the admin API if there is a token."""
        token, repositories = self._request.token, self._request.repositories
        more = [] if token is None else Admin(self.models, self._inference, token, repositories, self.add).routes()
        return application(self.models, self._inference, more)

    async def load_all(self) -> None:
        """Open all artifacts and give them their weights; raises what ``load`` does, and ``UserError``."""
        for name, directory in self._request.artifacts:
            loaded = await self._loaded(Wanted(directory, self._request.trust, limits=self._request.limits))
            async with _closed_on_failure(loaded):
                model = self._model(name or loaded.name, str(directory))
                fits_beside(model)(loaded)
            self._take_in(model, loaded)
        unknown = sorted({*self._request.weights, *self._request.shadow} - {model.name for model in self.models})
        if unknown:
            names = ", ".join(model.name for model in self.models)
            raise UserError("weights are for a model that is not served", got=unknown[0], expected=names)
        for model in self.models:
            model.traffic = self._first_traffic(model)
            self.metrics.weights(model.name, model.versions, model.traffic.weights)

    async def add(self, model: ServedModel, candidate: NextVersion) -> ServedVersion:
        """Open a candidate and take it in, with no weight; raises what ``load`` and ``candidate.fits`` do."""
        asked, trust = candidate, self._request.trust
        loaded = await self._loaded(
            Wanted(asked.directory, trust, asked.digest, asked.min_version, self._request.limits)
        )
        async with _closed_on_failure(loaded):
            candidate.fits(loaded)
        return self._take_in(model, loaded)

    async def close(self) -> None:
        """Close all; a model that hangs is left behind after a few seconds."""
        await self._mirror.close()
        versions = [version for model in self.models for version in model.versions.values()]
        if versions:
            tasks = [asyncio.create_task(version.close()) for version in versions]
            await asyncio.wait(tasks, timeout=_CLOSING_S)

    def _plan(self, digest: str) -> SketchPlan:
        """Return how the requests of a version are sketched: as its artifact's evaluation data were."""
        versions = (version for model in self.models for version in model.versions.values())
        loaded = next(version.loaded for version in versions if version.digest == digest)
        return plan_in(loaded.directory, loaded.inputs, loaded.outputs)

    def _model(self, name: str, where: str) -> ServedModel:
        if name in self.models:
            return self.models.named(name)
        if not _NAME.fullmatch(name):
            raise UserError(
                "a model of this name has no place in a URL", where=where, got=name,
                expected="letters, digits, '.', '_' and '-'", fix="give it another: NAME=ARTIFACT",
            )  # fmt: skip
        model = ServedModel(name, self._request.fallback_after)
        self.models.add(model)
        self.metrics.queue(name, lambda: sum(each.lane.waiting_rows for each in model.versions.values()))
        return model

    def _take_in(self, model: ServedModel, loaded: LoadedModel) -> ServedVersion:
        version = ServedVersion(loaded, partial(self.metrics.execution, model.name, loaded.digest))
        model.add(version)
        return version

    def _first_traffic(self, model: ServedModel) -> traffic.Traffic:
        digests = list(model.versions)
        weights = self._by_digest(self._request.weights, model, digests)
        shadow = self._by_digest(self._request.shadow, model, digests)
        if not weights:
            return traffic.Traffic(first_takes_all(digests).weights, shadow)
        return traffic.asked({"weights": weights, "shadow": shadow}, digests)

    def _by_digest(
        self, given: Mapping[str, tuple[float, ...]], model: ServedModel, digests: list[str]
    ) -> dict[str, Any]:
        percents = given.get(model.name, ())
        if percents and len(percents) != len(digests):
            raise UserError(
                f"there is one weight for each artifact of '{model.name}'", got=f"{len(percents)} weights",
                expected=f"{len(digests)}",
            )  # fmt: skip
        return dict(zip(digests, percents, strict=False))

    async def _loaded(self, wanted: Wanted) -> LoadedModel:
        """Open an artifact in a thread of its own, in which it then stays."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="mlopt-model")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, load, wanted, thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise


@asynccontextmanager
async def _closed_on_failure(loaded: LoadedModel) -> AsyncIterator[None]:
    """Close a model that turns out not to be one that can be taken in."""
    try:
        yield
    except BaseException:
        await asyncio.get_running_loop().run_in_executor(loaded.thread, loaded.close)
        loaded.thread.shutdown(wait=False)
        raise
