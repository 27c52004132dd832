"""What was chosen is written once more with all samples, unless that makes it worse than good enough."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import pytest

from mlopt.compress.quantization.refit import refitted
from mlopt.compress.quantization.scheme import Mode
from mlopt.compress.quantization.versions import Quality, Version, Writing, Written

GOOD = Quality(0.999, 40.0, None, None)


class Work:
    """Writes and judges: ``objections`` of what is written first, and after it was mended."""

    def __init__(self, *objections: str | None, fault: str | None = None, smooths: bool = True) -> None:
        self.objections, self.fault, self.smooths = list(objections), fault, smooths
        self.done: list[str] = []

    def write(self, mode: Mode, layers: Collection[str], out: Path) -> Written:
        self.done.append(f"{mode} {' '.join(layers)}")
        out.write_text("written")
        return Written(frozenset(layers), {}, {}, self.fault)

    def smoothed(self, out: Path) -> Written | None:
        self.done.append("smoothed")
        out.write_text("smoothed")
        return Written(frozenset("a"), {}, {}, self.fault) if self.smooths else None

    def mend(self, _mode: Mode, _out: Path, *, deadline: float) -> bool:
        self.done.append("mended")
        return deadline > 0

    def quality(self, _path: Path) -> Quality:
        return Quality(0.99, 30.0, None, self.objections.pop(0))


def run(folder: Path, work: Work, **more: Any) -> tuple[Version, Version]:
    before = Version(Mode.STATIC, ("a", "b"), folder / "old.onnx", Written(frozenset("ab"), {}, {}), GOOD, 0, **more)
    return before, refitted(before, cast(Writing, work), work, folder / "again")


def test_the_same_layers_are_written_again(tmp_path: Path) -> None:
    before, after = run(tmp_path, work := Work(None))
    assert work.done == ["static a b"]
    assert (after.path, after.layers, after.quality.sqnr_db) == (tmp_path / "again/model.onnx", before.layers, 30.0)


def test_the_other_quantizer_writes_its_own(tmp_path: Path) -> None:
    _, after = run(tmp_path, work := Work(None), smoothed=True)
    assert (work.done, after.path.read_text()) == (["smoothed"], "smoothed")


def test_what_can_be_mended_is_taken(tmp_path: Path) -> None:
    before, after = run(tmp_path, work := Work("too lossy", None))
    assert work.done == ["static a b", "mended"]
    assert after is not before


@pytest.mark.parametrize(
    ("work", "more"),
    [
        (Work("too lossy", "too lossy"), {}), (Work(fault="refused"), {}), (Work("too lossy"), {"smoothed": True}),
        (Work(smooths=False), {"smoothed": True}),
    ],
)  # fmt: skip
def test_what_comes_out_worse_stays_as_it_was(tmp_path: Path, work: Work, more: dict[str, Any]) -> None:
    before, after = run(tmp_path, work, **more)
    assert after is before
