"""A whole server but for the socket, with models made of functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asgi
import numpy as np
from scraped import Scrape
from served_models import loaded

from mlopt.core.errors import IntegrityError
from mlopt.protocol.messages import HEADER_LENGTH, InferAnswer, read_answer, write_request
from mlopt.serve.admin import Admin, NextVersion
from mlopt.serve.app import application
from mlopt.serve.drain import Drain
from mlopt.serve.inference import Inference
from mlopt.serve.metrics import Metrics
from mlopt.serve.mirror import Mirror
from mlopt.serve.models import LoadedModel, Models, ServedModel, ServedVersion, first_takes_all

TOKEN = "token-of-the-tests-only"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Parts:
    """A server's parts; ``candidates`` are what its admin API finds, by the name of their folder."""

    models: Models
    inference: Inference
    app: Any
    candidates: dict[str, LoadedModel]
    opening: list[Any]
    """Each is called when a candidate is opened, before anything else."""

    async def ask(
        self, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None
    ) -> asgi.Reply:
        return await asgi.ask(self.app, method, path, body, headers)

    async def admin(self, method: str, path: str, body: Any = b"") -> asgi.Reply:
        return await self.ask(method, f"/admin/{path}", body, AUTHORIZED)

    async def infer(
        self, inputs: Mapping[str, np.ndarray], path: str = "/v2/models/double", *, binary: bool = True, **headers: str
    ) -> asgi.Reply:
        message = write_request(inputs, binary=binary)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", f"{path}/infer", message.body, {**message.headers, **named})

    def figures(self) -> Scrape:
        """Return what a scrape says."""
        return Scrape(self.inference.metrics.text())


def answer(reply: asgi.Reply) -> InferAnswer:
    assert reply.status == 200, reply
    return read_answer(reply.body, reply.headers.get(HEADER_LENGTH.lower()))


def parts(*versions: LoadedModel, repository: Path | None = None, fallback_after: int = 0, **changes: Any) -> Parts:
    """Return a server of one model, ``double``; the first version takes all requests."""
    models, metrics, draws = Models(), Metrics(), lambda: 0.5
    settings: dict[str, Any] = {
        "metrics": metrics, "drain": Drain(), "mirror": Mirror(metrics, draws), "cache": None, "tap": None,
        "max_body": 1 << 20, "point": draws,
    }  # fmt: skip
    inference = Inference(**(settings | changes))
    model = ServedModel("double", fallback_after)
    models.add(model)
    metrics.queue("double", lambda: sum(each.lane.waiting_rows for each in model.versions.values()))

    def take_in(found: LoadedModel) -> ServedVersion:
        told = lambda rows, seconds: metrics.execution("double", found.digest, rows, seconds)  # noqa: E731
        version = ServedVersion(found, told)
        model.add(version)
        return version

    for each in versions or (loaded(),):
        take_in(each)
    model.traffic = first_takes_all(list(model.versions))
    candidates: dict[str, LoadedModel] = {}
    opening: list[Any] = []

    async def add(model: ServedModel, asked: NextVersion) -> ServedVersion:
        for look in opening:
            look(model, asked)
        found = candidates[asked.directory.name]
        if asked.min_version is not None and found.version < asked.min_version:
            raise IntegrityError("the artifact is older than what is asked for")
        asked.fits(found)
        return take_in(found)

    admin = Admin(models, inference, TOKEN, [repository] if repository else [], add)
    return Parts(models, inference, application(models, inference, admin.routes()), candidates, opening)
