"""The version that a search chose, written once more with all that there is to calibrate on."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

from mlopt.compress.quantization.versions import Judging, Version, Writing


def refitted(version: Version, writer: Writing, judge: Judging, folder: Path) -> Version:
    """Write a static version once more with scales from all samples, those by which it was judged among them.

    The fewer samples there are, the more it gains. If it comes out worse than good enough, it stays as it was.
    """
    folder.mkdir()
    path = folder / "model.onnx"
    written = writer.smoothed(path) if version.smoothed else writer.write(version.mode, version.layers, path)
    if written is None or written.fault is not None:
        return version
    quality = judge.quality(path)
    if quality.objection is not None and not version.smoothed and writer.mend(version.mode, path, deadline=inf):
        quality = judge.quality(path)
    return version if quality.objection is not None else replace(version, path=path, written=written, quality=quality)
