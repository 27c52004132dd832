"""A tag in a registry as a target: whoever follows it serves what it points to, all or nothing.

In the ledger, digests of this target are those of the image's manifest, which is what a registry finds by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from mlopt.core.errors import UserError
from mlopt.rollout import traffic
from mlopt.rollout.conduct import LedgerBook, StepDone, Wish, carry_out
from mlopt.rollout.observed import Observed
from mlopt.rollout.registry import ImageReference, OciRegistry
from mlopt.rollout.traffic import HeldVersion, Serving, TrafficSplit

_SHA256 = "sha256:"


class TagTarget:
    """One tag of a repository."""

    def __init__(self, registry: OciRegistry, reference: ImageReference) -> None:
        if reference.digest is not None:
            raise UserError("this is a digest, and no tag", got=str(reference), expected="HOST/NAME:TAG")
        self._registry, self._reference = registry, reference

    @property
    def name(self) -> str:
        """The kind, and the reference with the tag."""
        return f"registry {self._reference}"

    @property
    def model(self) -> str:
        """The repository."""
        return self._reference.name

    def serving(self) -> Serving:
        """Return what the tag points to; nothing where there is no such tag yet. See ``RolloutTarget``."""
        found = self._registry.find(self._reference)
        return Serving(() if found is None else (HeldVersion(found.removeprefix(_SHA256), "ready", 100),))

    def load(self, artifact: str | None, digest: str, *, older: bool = False) -> None:
        """Refuse a digest that is not in the repository; see ``RolloutTarget``."""
        del artifact, older
        self._registry.resolve(self._of(digest))

    def shift(self, traffic: TrafficSplit) -> None:
        """Move the tag; see ``RolloutTarget``."""
        wanted = [digest for digest, share in traffic.weights.items() if share]
        if len(wanted) != 1 or any(traffic.shadow.values()):
            raise UserError("a tag points to one artifact, and shares nothing out", where=str(self._reference))
        self._registry.tag(self._of(wanted[0]), self._reference.tag or "latest")

    def unload(self, digest: str) -> None:
        """Leave it in the registry; see ``RolloutTarget``."""

    def address(self, digest: str) -> str:
        """Raise ``UserError``: a registry answers no requests."""
        raise UserError("a registry answers no requests", where=str(self._reference), got=digest)

    def observed(self) -> Mapping[str, Observed]:
        """Raise ``UserError``: a registry answers no requests."""
        raise UserError("a registry counts no requests", where=str(self._reference), fix="analyze where it serves")

    def _of(self, digest: str) -> ImageReference:
        return replace(self._reference, tag=None, digest=f"{_SHA256}{digest}")


def moved(target: TagTarget, book: LedgerBook, digest: str, why: str) -> StepDone:
    """Let the tag point to a digest (with or without ``sha256:``), written in the ledger."""
    plain = digest.removeprefix(_SHA256)
    with book.stepping():
        return carry_out(target, book, Wish("tag", plain, why, partial(traffic.back, digest=plain)))
