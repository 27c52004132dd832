"""The embedded server (``mlopt serve``) as a target, through its admin interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlopt.artifact.files import first_problem
from mlopt.artifact.layout import Hex256
from mlopt.core.errors import IntegrityError, UserError
from mlopt.rollout.calls import HttpReply, RefusedError, accepted, call
from mlopt.rollout.chain import Percent
from mlopt.rollout.metrics_text import EMBEDDED, read
from mlopt.rollout.observed import Observed
from mlopt.rollout.traffic import HeldVersion, Serving, TrafficSplit

LOAD_LIMIT_S = 600.0
"""Loading verifies and copies the artifact, and warms the model up."""


class _Version(BaseModel):
    model_config = ConfigDict(extra="ignore")

    digest: Hex256
    version: int | None = None
    state: Literal["ready", "loading", "draining", "failed"]
    weight: Percent
    shadow: Percent = 0


class _Model(BaseModel):
    versions: tuple[_Version, ...] = Field(max_length=1000)


class EmbeddedTarget:
    """One model of an embedded server."""

    def __init__(self, url: str, model: str, token: str) -> None:
        self._url, self._model, self._token = url.rstrip("/"), model, token

    @property
    def name(self) -> str:
        """The kind and the address."""
        return f"embedded {self._url}"

    @property
    def model(self) -> str:
        """The model's name in addresses."""
        return self._model

    def serving(self) -> Serving:
        """Return what the server says that it holds; see ``RolloutTarget``."""
        models = accepted(self._ask("GET", "/admin/models"), 200).json().get("models")
        if not isinstance(models, dict) or self._model not in models:
            known = ", ".join(map(str, models)) if isinstance(models, dict) else "nothing"
            raise UserError(
                f"the server has no model {self._model}", where=self._url, got=known[:200], fix="--model NAME"
            )
        try:
            found = _Model.model_validate(models[self._model])
        except ValidationError as error:
            raise RefusedError("the server's answer is malformed", where=self._url, got=first_problem(error)) from error
        return Serving(tuple(_served(each) for each in found.versions))

    def load(self, artifact: str | None, digest: str, *, older: bool = False) -> None:
        """Let the server verify and load a directory of its own machine; see ``RolloutTarget``."""
        if artifact is None:
            raise UserError(
                "the version is not loaded any more, and nothing says from where to load it", where=self._url,
                got=digest, fix="`mlopt rollout start ARTIFACT` brings it up",
            )  # fmt: skip
        body = {"artifact": artifact, "digest": digest, **({"allow_older": True} if older else {})}
        reply = self._ask("POST", self._of("load"), body, LOAD_LIMIT_S)
        if reply.status == 409:
            raise IntegrityError(
                "the server refused the candidate", where=artifact, got=reply.reason, expected=f"digest {digest}",
                fix=f"mlopt verify {artifact}",
            )  # fmt: skip
        got = accepted(reply, 200).json().get("digest")
        if got != digest:
            raise IntegrityError(
                "the server loaded something else", where=artifact, got=f"digest {got}", expected=f"digest {digest}",
                fix=f"mlopt verify {artifact}",
            )  # fmt: skip

    def shift(self, traffic: TrafficSplit) -> None:
        """Put the shares, all at once; see ``RolloutTarget``."""
        ready = [each.digest for each in self.serving().versions if each.state == "ready"]
        weights = {**dict.fromkeys(ready, 0), **traffic.weights}
        body = {"weights": weights, "shadow": dict(traffic.shadow)}
        accepted(self._ask("PUT", self._of("traffic"), body), 200)

    def unload(self, digest: str) -> None:
        """Let a version end its answers, and go; see ``RolloutTarget``."""
        accepted(self._ask("POST", self._of("unload"), {"digest": digest}, LOAD_LIMIT_S), 200)

    def address(self, digest: str) -> str:
        """Return that of the version's number; see ``RolloutTarget``."""
        found = self.serving().get(digest)
        if found is None or found.version is None:
            raise UserError("the server does not hold this version", where=self._url, got=digest)
        return f"{self._url}/v2/models/{quote(self._model, safe='')}/versions/{found.version}"

    def observed(self) -> Mapping[str, Observed]:
        """Read the server's metrics; see ``RolloutTarget``."""
        reply = accepted(call("GET", f"{self._url}/metrics"), 200)
        return read(reply.body.decode(errors="replace"), EMBEDDED, {"model": self._model})

    def _of(self, verb: str) -> str:
        return f"/admin/models/{quote(self._model, safe='')}/{verb}"

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, limit_s: float = 30.0) -> HttpReply:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = b"" if body is None else json.dumps(body).encode()
        reply = call(method, self._url + path, body=data, headers=headers, limit_s=limit_s)
        if reply.status == 401:
            raise UserError("the server does not take the token", where=self._url, fix="--token-file FILE")
        if reply.status == 404 and not path.endswith("/load"):
            raise UserError(
                "the server has no admin interface, or no such model", where=self._url + path,
                fix="start it with --admin-token-file FILE, or MLOPT_ADMIN_TOKEN",
            )  # fmt: skip
        return reply


def _served(found: _Version) -> HeldVersion:
    return HeldVersion(found.digest, found.state, found.weight, found.shadow, found.version)
