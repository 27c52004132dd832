"""How far to prune for a latency: candidates are exported and raced in the runtime that the recipe is for.

MACs tell little of it: kernels like some widths, and what is not computed is still moved. So the ratio is found by
halving, and at its end the same share is tried in coarser roundings of the widths, which may cost no time at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.compress.prune.settings import Structure
from mlopt.core.errors import PassError
from mlopt.core.hardware import usable_cores
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Context
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import deploy

if TYPE_CHECKING:
    from mlopt.compress.prune.structured import Pruner
    from mlopt.formats.torch.module import Flat

_HALVINGS, _NEAR = 7, 0.02
"""The search ends when the time is so near to what is asked for, as a share of the whole."""
_RACE_SECONDS = 10.0
_COARSER = (2, 4)


@dataclass
class LatencySearch:
    """Looks for the ratio after which a model takes ``left`` of the time of ``original``."""

    original: Flat
    pruner: Pruner
    left: float
    context: Context
    export: Callable[[Flat, Path], Path]
    """Writes a module as ONNX, and returns where."""

    def found(self, notes: dict[str, Any]) -> tuple[float, Structure]:
        """Return the ratio, and how to round; raises ``PassError`` if no ratio takes so little time."""
        with tempfile.TemporaryDirectory(dir=self.context.out) as folder:
            return self._found(Path(folder), notes.setdefault("raced", []))

    def _found(self, folder: Path, tried: list[dict[str, float]]) -> tuple[float, Structure]:
        how = self.pruner.how
        low, high, best = 0.0, how.most, None
        for number in range(_HALVINGS):
            ratio = high if number == 0 else (low + high) / 2
            (share,) = self._shares({how.round_to: ratio}, folder, tried).values()
            if share <= self.left:
                high, best = ratio, share
            elif number == 0:
                break
            else:
                low = ratio
            if best is not None and self.left - best < _NEAR:
                break
        if best is None:
            raise PassError(
                "the model cannot be pruned so far", where="pass 'prune'",
                got=f"{share:.0%} of its time, at most pruned", expected=f"{self.left:.0%}",
                fix="ask for less, or a smaller round_to",
            )  # fmt: skip
        return high, how if how.round_to * _COARSER[0] > _widest(self.original) else self._rounded(high, folder, tried)

    def _rounded(self, ratio: float, folder: Path, tried: list[dict[str, float]]) -> Structure:
        """Return the rounding that leaves most of the model, of those that take no more time than is asked for."""
        from mlopt.compress.prune.structured import cost

        how = self.pruner.how
        wanted = {times * how.round_to: ratio for times in (1, *_COARSER)}
        shares = self._shares(wanted, folder, tried)
        able = [replace(how, round_to=width) for width, share in shares.items() if share <= self.left + _NEAR] or [how]
        return max(able, key=lambda each: cost(replace(self.pruner, how=each).copy(ratio), self.pruner.examples).params)

    def _shares(self, ratios: Mapping[int, float], folder: Path, tried: list[dict[str, float]]) -> dict[int, float]:
        """Race candidates, by how their widths are rounded; return the share of the time that each takes."""
        context, batch_size = self.context, self.context.target.batch_size
        if context.measuring is None or context.samples is None:
            raise PassError("a latency is measured, and here is nothing to measure with", where="pass 'prune'")
        base = self.export(self.original, folder / "original.onnx")
        options = RuntimeOptions(threads=context.target.threads or usable_cores(), device=context.target.device)
        measuring = context.measuring(
            deploy(open_onnx(base), options, context.target.runtimes), context.samples, batch_size, folder
        )
        paths = {
            str(width): self.export(
                replace(self.pruner, how=replace(self.pruner.how, round_to=width)).copy(ratio), folder / f"{width}.onnx"
            )
            for width, ratio in ratios.items()
        }
        speeds = measuring.race(paths, _RACE_SECONDS * len(paths))
        if lost := [name for name in paths if name not in speeds]:
            raise PassError(
                "a pruned model could not be measured",
                where="pass 'prune'",
                got=f"round_to {lost[0]}",
                fix="say `macs` instead of `latency`, which measures nothing",
            )
        shares = {width: 1 / speeds[str(width)].median for width in ratios}
        tried += [
            {"ratio": round(ratios[width], 4), "round_to": width, "time": round(share, 4)}
            for width, share in shares.items()
        ]
        return shares


def _widest(module: Flat) -> int:
    return max((parameter.shape[0] for parameter in module.parameters() if parameter.ndim > 1), default=0)
