"""``mode: auto``: the fastest set of quantized layers that keeps the accuracy, found by measuring on this machine.

1. Time every layer in FP32 and in each mode (static, dynamic, weight-only), with all that surrounds it, and choose the
   set that saves most (``choosing``): layers that are slower in INT8 stay in FP32 if that is worth the conversions.
2. If that set is too lossy, find the error that each layer makes alone, and choose again with a price on errors: the
   least price, found by halving, whose set keeps the accuracy budget. Only the whole model tells what errors add up to.
3. Measure the best sets against FP32, interleaved, and keep the fastest; of those about as fast, the most faithful.
   What NNCF makes of a transformer, where it is installed, is one of them.

Quality is judged on samples that calibration does not see. When the time is up, what has been found so far counts.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlopt.compress.quantization.layer_times import by_layer, conversion_ms
from mlopt.compress.quantization.mode_estimate import ModeEstimate, boundaries
from mlopt.compress.quantization.scheme import Mode
from mlopt.compress.quantization.search_log import SearchLog
from mlopt.compress.quantization.versions import Judging, SearchResult, Version, Writing, about_as_fast
from mlopt.core.errors import MeasureError
from mlopt.core.voice import Count, tell
from mlopt.results.timing import Measuring, NodeTime, Rival

_LEAST_SHARE = 0.05
"""Of the model's time: a mode whose layers take less is not tried."""
_TIMING_ENDS, _RANKING_ENDS, _CHOOSING_ENDS = 0.4, 0.45, 0.8
"""Shares of the time allowed."""
_LEAST_SECONDS = 5.0
"""A search that may take less than a profile needs gets one all the same."""
_RACED = 3
"""So many sets of a mode are measured against FP32."""
_IN_DOUBT = 1.0
"""Of the model's time: a profile that shows it so much slower in INT8 is believed without a race."""
_NOTICED = 1.05
"""A median from which "not faster" would say more than a noisy race can."""
_SMOOTHED = "static, smoothed by NNCF"
_BETTER = 1.05
"""What a mode must save, against the best that is known, to be worth the search."""
_HOPE = 1.3
"""A version may turn out to be so many times as fast as the times of its layers promise."""
_DECADES, _HALVINGS = 3, 8
"""The price of error is looked for so far around what it saves, and so often."""


class Search:
    """One search, in ``seconds`` at most; what is not to be expected to become as fast as ``rival`` is not tried."""

    def __init__(
        self, writer: Writing, judge: Judging, measuring: Measuring, modes: Sequence[Mode], scratch: Path, *,
        seconds: float, rival: Rival | None = None,
    ) -> None:  # fmt: skip
        self.search_log = SearchLog()
        self._writer, self._judge, self._measuring, self._modes = writer, judge, measuring, modes
        self._scratch, self._seconds, self._start = scratch, seconds, time.monotonic()
        self._left: dict[Mode, dict[str, str]] = {mode: {} for mode in modes}
        self._rival, self._behind = rival, set[Mode]()

    def fastest(self) -> SearchResult:
        """Find the fastest version that keeps the budget."""
        try:
            estimates = self._estimates()
        except MeasureError:
            if self._time_until(_TIMING_ENDS) > 0:
                raise
            return self._nothing(f"its {self._seconds:g} seconds were up before the layers were timed")
        contenders = [*self._valid(estimates), *self._smoothed()]
        if not contenders:
            return self._nothing(self._too_slow() or "no set of layers is both faster and good enough")
        with self.search_log.spending("measuring against FP32"):
            named = {f"{number}": version for number, version in enumerate(contenders)}
            speeds = self._measuring.race(
                {name: each.path for name, each in named.items()}, max(self._time_until(1), 0)
            )
        for name, version in named.items():
            self.search_log.measured(version, speeds.get(name))
        faster = {name: speed.median for name, speed in speeds.items() if speed.faster}
        if not faster:
            best = max(speeds.values(), key=lambda speed: speed.median, default=None)
            if best is not None and best.median > _NOTICED:
                return self._nothing(f"too noisy to tell whether what keeps the accuracy is faster: {best}, at best")
            told = f", at best {best}" if best is not None else ""
            return self._nothing(f"nothing that keeps the accuracy is measurably faster than FP32{told}")
        best = speeds[max(faster, key=faster.__getitem__)]
        near = [named[name] for name in faster if about_as_fast(speeds[name], best)]
        return self._kept(max(near, key=lambda version: version.quality.cosine))

    def smallest(self) -> SearchResult:
        """Find the version that keeps the budget and saves most bytes."""
        sizes = self._writer.weight_bytes()
        savings = {mode: {name: float(sizes[name]) for name in self._writer.layers(mode)} for mode in self._modes}
        contenders = self._valid([ModeEstimate(mode, saving, {}) for mode, saving in savings.items() if saving])
        for version in contenders:
            self.search_log.measured(version, None)
        best = min(contenders, key=lambda version: version.size_bytes, default=None)
        if best is None or best.size_bytes >= self._writer.model.size_bytes:
            return self._nothing("no set of layers is both smaller and good enough")
        return self._kept(best)

    def _estimates(self) -> list[ModeEstimate]:
        """Return what each mode worth trying could save, the most promising first."""
        weighted = self._writer.weighted
        with self.search_log.spending("timing layers"):
            floats = self._times(self._writer.model.path, "as they are")
        own = by_layer(floats, self._writer.graph, weighted)
        total = sum(own.values())
        estimates = []
        for number, mode in enumerate(self._modes, 1):
            able = self._writer.layers(mode)
            if sum(own.get(name, 0.0) for name in able) < _LEAST_SHARE * total:
                self.search_log.modes[mode] = "its layers take less than 5 % of the time"
                continue
            with self.search_log.spending("timing layers"):
                times = self._rough_times(mode, able, f"{mode}, {number} of {len(self._modes)} modes")
            if times is None:
                continue
            taken = by_layer(times, self._writer.graph, weighted)
            savings = {name: own.get(name, 0.0) - taken.get(name, 0.0) for name in able}
            for name in able:
                self.search_log.book(
                    mode, name, fp32_ms=round(own.get(name, 0.0), 4), ms=round(taken.get(name, 0.0), 4)
                )
            spent_ms = conversion_ms(times) - conversion_ms(floats)
            crossing = boundaries(able, self._writer.activations(), spent_ms) if mode is Mode.STATIC else {}
            estimate = ModeEstimate(mode, savings, crossing, total)
            saved = estimate.saved(estimate.best())
            self.search_log.modes[mode] = f"of {total:.3g} ms in FP32 it should save {saved:.3g} ms"
            if self._rival is not None and _HOPE * total < self._rival.times * (total - saved):
                self._behind.add(mode)
            else:
                estimates.append(estimate)
        return sorted(estimates, key=lambda estimate: -estimate.saved(estimate.best()))

    def _times(self, path: Path, told: str) -> list[NodeTime]:
        """Time the layers of a version for as long as that may go on; raises ``MeasureError``."""
        tell(f"timing layers, {told}")
        return self._measuring.profile(path, max(self._time_until(_TIMING_ENDS), _LEAST_SECONDS))

    def _rough_times(self, mode: Mode, layers: Collection[str], told: str) -> list[NodeTime] | None:
        """Time the layers of a mode; None, with the reason in the account, if there is no telling."""
        if mode is not self._modes[0] and self._time_until(_TIMING_ENDS) <= 0:
            self.search_log.modes[mode] = "not tried: the time was up"
            return None
        path = self._roughly(mode, layers)
        try:
            return None if path is None else self._times(path, told)
        except MeasureError:
            if self._time_until(_TIMING_ENDS) > 0:
                raise
            self.search_log.modes[mode] = "not tried: the time was up before its layers were timed"
            return None

    def _valid(self, estimates: Sequence[ModeEstimate]) -> list[Version]:
        """Return versions that keep the budget, by what they should save; at most three of a mode.

        A mode whose best set is too lossy is looked into only if it could save more than another mode's valid one.
        """
        found: dict[Mode, dict[tuple[str, ...], Version | None]] = {}
        with self.search_log.spending("judging"):
            for estimate in estimates:
                found[estimate.mode] = self._wholes(estimate)
        enough = max((p.saved(v.layers) for p in estimates for v in _good(found[p.mode])), default=0.0)
        for estimate in estimates:
            lossy = found[estimate.mode] and not _good(found[estimate.mode])
            if lossy and estimate.saved(estimate.best()) > _BETTER * enough:
                errors = self._errors(estimate, estimate.best())
                self._try_prices(replace(estimate, errors=errors), found[estimate.mode])
        return [
            version
            for p in estimates
            for version in sorted(_good(found[p.mode]), key=lambda each: -p.saved(each.layers))[:_RACED]
        ]

    def _wholes(self, estimate: ModeEstimate) -> dict[tuple[str, ...], Version | None]:
        """Write the set that should save most and, if that is good enough, the set of all layers too.

        Of a small model, much of what a profile shows is the profile: where that leaves a doubt, all layers are tried.
        """
        first, everything = estimate.best(), tuple(estimate.savings)
        if not first and estimate.saved(everything) > -_IN_DOUBT * estimate.total:
            first = everything
        if not first:
            said = self.search_log.modes.get(estimate.mode)
            self.search_log.modes[estimate.mode] = f"{said}: nothing to gain" if said else "nothing to gain"
            return {}
        tried = {first: self._write(estimate.mode, first)}
        if first != everything and _good(tried):
            tried[everything] = self._write(estimate.mode, everything)
        return tried

    def _try_prices(self, estimate: ModeEstimate, tried: dict[tuple[str, ...], Version | None]) -> None:
        """Look for the least price of error that keeps the budget; what is written on the way goes to ``tried``."""
        balance = sum(abs(saving) for saving in estimate.savings.values()) / (sum(estimate.errors.values()) or 1.0)
        low, high = math.log10(balance) - _DECADES, math.log10(balance) + _DECADES
        with self.search_log.spending("choosing layers"):
            for number in range(_HALVINGS):
                tell(f"choosing layers ({estimate.mode}), try {number + 1} of {_HALVINGS}")
                middle = (low + high) / 2
                layers = estimate.best(10**middle)
                if layers and layers not in tried and self._time_until(_CHOOSING_ENDS) > 0:
                    tried[layers] = self._write(estimate.mode, layers)
                version = tried.get(layers)
                if not layers or (version is not None and version.quality.objection is None):
                    high = middle
                else:
                    low = middle

    def _errors(self, estimate: ModeEstimate, layers: Sequence[str]) -> dict[str, float]:
        """Return the error that each layer makes alone, those that save most first, as long as there is time."""
        errors: dict[str, float] = {}
        with self.search_log.spending("ranking layers"):
            ranked = Count(f"ranking layers ({estimate.mode}),", len(layers))
            for number, name in enumerate(sorted(layers, key=lambda name: -estimate.savings[name])):
                ranked(number)
                if self._time_until(_RANKING_ENDS) < 0:
                    break
                path = self._roughly(estimate.mode, (name,))
                if path is not None:
                    quality = self._judge.quality(path)
                    errors[name] = quality.noise
                    self.search_log.book(estimate.mode, name, alone_sqnr_db=quality.sqnr_db)
        unknown = max(errors.values(), default=1.0)
        return {name: errors.get(name, unknown) for name in estimate.savings}

    def _write(self, mode: Mode, layers: Collection[str]) -> Version | None:
        """Write and judge one version, the first even if the time is up; None, with the reason, if that cannot be."""
        if self.search_log.front and self._time_until(1) < 0:
            self.search_log.modes[mode] = "the time was up before a version was written"
            return None
        path = self._place(f"{mode}-{len(self.search_log.front)}")
        written = self._writer.write(mode, layers, path)
        self._left[mode] |= written.left
        if written.fault is not None:
            self.search_log.modes[mode] = written.fault
            return None
        quality = self._judge.quality(path)
        if quality.objection is not None and self._writer.mend(mode, path, deadline=self._start + self._seconds):
            quality = self._judge.quality(path)
        return Version(mode, tuple(layers), path, written, quality, self.search_log.judged(mode, len(layers), quality))

    def _smoothed(self) -> list[Version]:
        """Return the version of another quantizer, which smooths activations first, if it keeps the budget."""
        able = Mode.STATIC in self._modes and Mode.STATIC not in self._behind
        if not able or self._time_until(_CHOOSING_ENDS) < 0:
            return []
        with self.search_log.spending("smoothing"):
            path = self._place(f"{_SMOOTHED}-{len(self.search_log.front)}")
            written = self._writer.smoothed(path)
            if written is None:
                return []
            if written.fault is not None:
                self.search_log.modes[_SMOOTHED] = written.fault
                return []
            quality, layers = self._judge.quality(path), tuple(written.quantized)
            number = self.search_log.judged(_SMOOTHED, len(layers), quality)
        found = Version(Mode.STATIC, layers, path, written, quality, number, smoothed=True)
        return [found] if quality.objection is None else []

    def _roughly(self, mode: Mode, layers: Collection[str]) -> Path | None:
        """Write a version to look at once; None if it cannot be written."""
        path = self._place(f"{mode}-rough")
        written = self._writer.write(mode, layers, path)
        self._left[mode] |= written.left
        if written.fault is not None:
            self.search_log.modes[mode] = written.fault
        return path if written.fault is None else None

    def _place(self, name: str) -> Path:
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder / "model.onnx"

    def _time_until(self, share: float) -> float:
        return self._start + share * self._seconds - time.monotonic()

    def _kept(self, version: Version) -> SearchResult:
        missing = (name for name in self._writer.layers(version.mode) if name not in version.layers)
        left = {name: self.search_log.why_left(version.mode, name) for name in missing} | self._left[version.mode]
        return SearchResult(version, None, left, self.search_log.notes(version))

    def _too_slow(self) -> str | None:
        """Say what the rival has to do with it, if nothing is left."""
        if self._rival is None or not self._behind:
            return None
        return f"{self._rival.told}, is {self._rival.times:.2f}x as fast as this, which no set of layers comes near"

    def _nothing(self, reason: str) -> SearchResult:
        objections = [row["objection"] for row in self.search_log.front if row["objection"] is not None]
        said = [reason, *objections[:1], *(f"{mode}: {what}" for mode, what in self.search_log.modes.items())]
        return SearchResult(None, "; ".join(said), {}, self.search_log.notes(None))


def _good(tried: Mapping[tuple[str, ...], Version | None]) -> list[Version]:
    return [version for version in tried.values() if version is not None and version.quality.objection is None]
