"""The models that a server has, each in one or several versions, told apart by the digest of their artifacts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlopt.formats.model import TensorSpec
from mlopt.serve.derived import LaneLimits
from mlopt.serve.faults import AnswerError
from mlopt.serve.inputs import InputCheck
from mlopt.serve.joining import Joining
from mlopt.serve.lane import Executed, Lane, Run
from mlopt.serve.streaks import Streaks
from mlopt.serve.traffic import WHOLE, Traffic

State = Literal["ready", "draining", "failed"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """An open model, and what is known of it."""

    name: str
    """As its artifact is called, whatever it is served as."""
    digest: str
    """SHA-256 over all signed files of the artifact, in hexadecimal."""
    version: int
    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    directory: Path
    """The private copy of the artifact, as long as the model is open."""
    limits: LaneLimits
    joining: Joining | None
    slack: Mapping[str, float]
    """By output, how far it may be from the source model's (see ``agreement``)."""
    said: tuple[str, ...]
    """Why the limits are what they are."""
    run: Run
    close: Callable[[], None]
    """To be called in ``thread``."""
    thread: Executor
    """One thread, in which the model was opened, and alone runs and is closed."""


class ServedVersion:
    """A version that is asked, or was: what it is, its queue, and its state."""

    def __init__(self, loaded: LoadedModel, executed: Executed) -> None:
        self.loaded = loaded
        self.check = InputCheck(loaded.inputs)
        self.lane = Lane(loaded.run, loaded.limits, loaded.joining, loaded.thread, executed)
        self.state: State = "ready"
        self.error: str | None = None

    @property
    def digest(self) -> str:
        """The digest of its artifact."""
        return self.loaded.digest

    async def close(self) -> None:
        """Answer what waits, then close the model and remove its private copy."""
        await self.lane.close()
        await asyncio.get_running_loop().run_in_executor(self.loaded.thread, self.loaded.close)
        self.loaded.thread.shutdown(wait=False)


@dataclass(eq=False)
class ServedModel:
    """All versions of one model, the oldest first, and who of them answers."""

    name: str
    fallback_after: int = 0
    """Failures in a row after which the version before takes over; 0 is never."""
    versions: dict[str, ServedVersion] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a candidate is opened: one at a time."""
    awaited: str | None = None
    """The digest that the candidate is to have, empty if any will do; None while there is none."""

    def __post_init__(self) -> None:
        """Begin to count failures."""
        self.streaks = Streaks(self.fallback_after)

    def add(self, version: ServedVersion) -> None:
        """Take a version in, with no weight."""
        self.versions[version.digest] = version

    @property
    def ready(self) -> bool:
        """Whether every version that requests may go to is ready."""
        asked = [digest for digest, weight in self.traffic.weights.items() if weight]
        return bool(asked) and all(self.versions[digest].state == "ready" for digest in asked)

    @property
    def usable(self) -> dict[str, ServedVersion]:
        """The versions that may be given requests, by digest."""
        return {digest: each for digest, each in self.versions.items() if each.state == "ready"}

    @property
    def serving(self) -> list[ServedVersion]:
        """The versions that have a weight."""
        return [each for digest, each in self.versions.items() if self.traffic.weight(digest)]

    def chosen(self, point: float) -> ServedVersion:
        """Return who answers the request at this point of [0, 1); raises ``AnswerError`` (503) if nobody does."""
        digest = self.traffic.chosen(point)
        if digest is None:
            raise AnswerError(503, f"no version of '{self.name}' takes requests")
        return self.versions[digest]

    def of_version(self, asked: str) -> ServedVersion:
        """Return the version of this number, or digest; of two with one number the one with the larger weight.

        Raises ``AnswerError`` (404).
        """
        found = [each for each in self.versions.values() if asked in (str(each.loaded.version), each.digest)]
        found.sort(key=lambda each: (each.state == "ready", self.traffic.weight(each.digest)))
        if not found or found[-1].state != "ready":
            raise AnswerError(404, f"'{self.name}' has no such version that is ready", asked[:80])
        return found[-1]

    def before(self, digest: str) -> ServedVersion | None:
        """Return the ready version before one: the next lower number, or loaded earlier with the same."""
        order = sorted(self.versions.values(), key=lambda each: each.loaded.version)
        place = [each.digest for each in order].index(digest)
        return next((each for each in reversed(order[:place]) if each.state == "ready"), None)

    def demote(self, digest: str, reason: str) -> None:
        """Mark a version as failed; the one before it takes its share of the requests."""
        heir = self.before(digest)
        self.versions[digest].state, self.versions[digest].error = "failed", reason
        self.traffic = self.traffic.without(digest, heir.digest if heir else None)

    def described(self) -> list[dict[str, Any]]:
        """Return its versions as the admin API tells of them."""
        nothing: dict[str, Any] = {"version": None, "state": "loading", "weight": 0.0, "shadow": 0.0, "error": None}
        candidates = [] if self.awaited is None else [{"digest": self.awaited or None, **nothing}]
        return candidates + [
            {
                "digest": each.digest, "version": each.loaded.version, "state": each.state,
                "weight": self.traffic.weight(each.digest), "shadow": self.traffic.shadow.get(each.digest, 0.0),
                "error": each.error,
            }
            for each in self.versions.values()
        ]  # fmt: skip


class Models:
    """All that a server has, by the name in its URLs."""

    def __init__(self) -> None:
        self._models: dict[str, ServedModel] = {}

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def add(self, model: ServedModel) -> None:
        """Take a model in."""
        self._models[model.name] = model

    def named(self, name: str) -> ServedModel:
        """Return a model; raises ``AnswerError`` (404)."""
        if name not in self._models:
            raise AnswerError(404, "there is no model of this name", name[:80])
        return self._models[name]

    @property
    def ready(self) -> bool:
        """Whether each of them is."""
        return bool(self._models) and all(model.ready for model in self._models.values())


def first_takes_all(digests: list[str]) -> Traffic:
    """Return the traffic that a model begins with unless the user says otherwise."""
    return Traffic({digest: WHOLE if place == 0 else 0.0 for place, digest in enumerate(digests)})
