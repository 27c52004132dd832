"""What a rollout needs of whatever serves: an embedded server, a proxy, or another that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlopt.rollout.observed import Observed
from mlopt.rollout.traffic import Serving, TrafficSplit


class RolloutTarget(Protocol):
    """Something that holds versions of a model and shares requests out to them.

    All raise ``UserError`` where it cannot be reached or refuses.
    """

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        ...

    @property
    def model(self) -> str:
        """The model that is rolled out."""
        ...

    def serving(self) -> Serving:
        """Return what it holds, and how requests are shared out."""
        ...

    def load(self, artifact: str | None, digest: str, *, older: bool = False) -> None:
        """Bring a version up without traffic; all else stays as it is.

        ``artifact`` is its directory, as the target sees it; ``older`` is for the way back. Raises ``IntegrityError``
        where what is there is not that digest, or is refused.
        """
        ...

    def shift(self, traffic: TrafficSplit) -> None:
        """Share requests out like this, in one step."""
        ...

    def unload(self, digest: str) -> None:
        """Let a version go that has no traffic, after its last answer."""
        ...

    def address(self, digest: str) -> str:
        """Return where one version is asked by itself: an address that ends in ``/v2/models/NAME...``."""
        ...

    def observed(self) -> Mapping[str, Observed]:
        """Return the counters of each version, by digest."""
        ...
