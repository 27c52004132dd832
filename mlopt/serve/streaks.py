"""How often in a row a version failed where the one before it did not: what a fallback is decided by. Pure."""

from __future__ import annotations


class Streaks:
    """Failures in a row, by digest; ``most`` of them are enough, 0 is never."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: dict[str, int] = {}

    def failed(self, digest: str) -> bool:
        """Count a failure; whether it was one too many."""
        self._counts[digest] = self._counts.get(digest, 0) + 1
        return bool(self.most) and self._counts[digest] >= self.most

    def succeeded(self, digest: str) -> None:
        """Begin anew."""
        self._counts.pop(digest, None)
