"""The account of a search: what it wrote, how good and how fast that was, where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlopt.compress.quantization.scheme import Mode
from mlopt.compress.quantization.versions import Quality, Version
from mlopt.core.voice import tell
from mlopt.results.timing import Speed


@dataclass
class SearchLog:
    """What was found on the way, for the report."""

    seconds: dict[str, float] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    front: list[dict[str, Any]] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def spending(self, what: str) -> Iterator[None]:
        """Book the time of a stage."""
        started = time.monotonic()
        tell(what)
        try:
            yield
        finally:
            self.seconds[what] = round(self.seconds.get(what, 0.0) + time.monotonic() - started, 2)

    def judged(self, mode: str, layers: int, quality: Quality) -> int:
        """Add a version to the front; return its number."""
        self.front.append({
            "mode": str(mode), "layers": layers, "cosine": round(quality.cosine, 6), "sqnr_db": quality.sqnr_db,
            "metric": quality.value, "objection": quality.objection, "speedup": None,
        })  # fmt: skip
        return len(self.front) - 1

    def measured(self, version: Version, speed: Speed | None) -> None:
        """Add what a version of the front weighs, and how fast it is."""
        row = self.front[version.number]
        row["size_bytes"] = version.size_bytes
        if speed is not None:
            row["speedup"] = [round(value, 3) for value in (speed.median, speed.low, speed.high)]

    def book(self, mode: Mode, layer: str, **facts: Any) -> None:
        """Add what is known of a layer in a mode."""
        self.layers.setdefault(mode.value, {}).setdefault(layer, {}).update(facts)

    def why_left(self, mode: Mode, layer: str) -> str:
        """Say why a layer stays in FP32, by what is known of it."""
        known = self.layers.get(mode.value, {}).get(layer, {})
        own, taken, alone = (known.get(key) for key in ("fp32_ms", "ms", "alone_sqnr_db"))
        if own is not None and taken is not None and taken > own:
            return f"slower in INT8: {taken:.3g} ms against {own:.3g} ms in FP32"
        if alone is not None:
            return f"too lossy for what it saves: alone it leaves the output an SQNR of {alone:.1f} dB"
        return "what it saves is not worth its conversions or its error"

    def notes(self, kept: Version | None) -> dict[str, Any]:
        """Return it all as JSON for the report, of the shape that ``mlopt.report.search`` reads."""
        return {
            "seconds": self.seconds, "modes": self.modes, "front": self.front, "layers": self.layers,
            "chosen": kept.number if kept is not None else None,
        }  # fmt: skip
