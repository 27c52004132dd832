"""The search, with a writer, a judge and a clock that are made up: what it keeps, what it leaves, and what it says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onnx import helper

from mlopt.compress.quantization.scheme import Mode
from mlopt.compress.quantization.search import Search
from mlopt.compress.quantization.versions import Quality, Written
from mlopt.results.timing import NodeTime, Rival, Speed

FP32 = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
INT8 = {"a": 2.0, "b": 2.0, "c": 1.0, "d": 0.5}
QUIET = dict.fromkeys(FP32, 1e-4)
ALL = tuple(FP32)


@dataclass
class World:
    """A model of four layers: what they take, and what error each makes in INT8."""

    noise: Mapping[str, float] = field(default_factory=lambda: QUIET)
    int8: Mapping[str, float] = field(default_factory=lambda: INT8)
    allowed: float = 0.01
    faults: Mapping[Mode, str] = field(default_factory=dict)
    model: Any = field(default_factory=lambda: SimpleNamespace(path=Path("fp32"), size_bytes=1000))
    weighted: tuple[str, ...] = ALL
    mends: bool = False
    smooths: str | None = None
    """What the other quantizer writes, if there is one."""
    conversion: float = 0.0

    def __post_init__(self) -> None:
        nodes = [helper.make_node("Conv", [f"{name}_in", f"{name}_w"], [f"{name}_out"], name=name) for name in ALL]
        self.graph = helper.make_graph(nodes, "g", [], [])

    def layers(self, _mode: Mode) -> tuple[str, ...]:
        return ALL

    def weight_bytes(self) -> dict[str, int]:
        return {"a": 1, "b": 1, "c": 1000, "d": 1000}

    def write(self, mode: Mode, layers: Collection[str], out: Path) -> Written:
        out.write_text("\n".join([*layers] * (2 if mode is Mode.DYNAMIC else 1)))
        fault = self.faults.get(mode)
        return Written(frozenset(() if fault else layers), {}, {}, fault)

    def smoothed(self, out: Path) -> Written | None:
        if self.smooths is None:
            return None
        out.write_text(self.smooths)
        return Written(frozenset(self.smooths.split()), {}, {}, None if self.smooths else "NNCF failed")

    def mend(self, _mode: Mode, out: Path, *, deadline: float) -> bool:
        """Halve the errors, where that was asked for."""
        out.with_suffix(".mended").touch()
        return self.mends and deadline > 0

    def activations(self) -> dict[str, int]:
        return dict.fromkeys([*ALL, ""], 1)

    def quality(self, path: Path) -> Quality:
        noise = sum(self.noise[name] for name in path.read_text().split())
        noise /= 2 if self.mends and path.with_suffix(".mended").exists() else 1
        return Quality(1 - noise, None, None, f"cosine {1 - noise:.2f}" if noise > self.allowed else None)

    def profile(self, path: Path, max_time: float = 0.0) -> list[NodeTime]:
        quantized = path.read_text().split() if path.exists() else []
        nodes = [NodeTime(f"{n}_token_1", "Conv", self.int8[n] if n in quantized else FP32[n]) for n in ALL]
        ends = [NodeTime(f"Transpose_{number}", "Transpose", self.conversion) for number in range(2) if quantized]
        return nodes + ends

    def race(self, versions: Mapping[str, Path], _max_time: float) -> dict[str, Speed]:
        speeds = {name: sum(FP32.values()) / sum(t.ms for t in self.profile(path)) for name, path in versions.items()}
        return {name: Speed(speed, speed - 0.01, speed + 0.01) for name, speed in speeds.items()}


def search(
    world: World, tmp_path: Path, *modes: Mode, seconds: float = 60.0, rival: Rival | None = None
) -> Search:  # fmt: skip
    return Search(world, world, world, modes or (Mode.STATIC,), tmp_path, seconds=seconds, rival=rival)


@pytest.fixture(autouse=True)
def _noise_is_what_the_judge_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quality, "noise", property(lambda quality: 1 - quality.cosine))


def test_everything_is_quantized_where_nothing_speaks_against_it(tmp_path: Path) -> None:
    found = search(World(), tmp_path).fastest()
    assert found.version is not None
    assert (found.version.layers, found.left) == (ALL, {})
    assert [row["speedup"] for row in found.notes["front"]] == [[1.818, 1.808, 1.828]]
    assert {"timing layers", "judging", "measuring against FP32"} <= set(found.notes["seconds"])
    assert found.notes["layers"]["static"]["a"] == {"fp32_ms": 4.0, "ms": 2.0}


def test_a_layer_that_int8_slows_stays(tmp_path: Path) -> None:
    found = search(World(int8={**INT8, "a": 5.0}), tmp_path).fastest()
    assert found.version is not None
    assert found.version.layers == ("b", "c", "d")
    assert found.left == {"a": "slower in INT8: 5 ms against 4 ms in FP32"}
    assert found.notes["modes"] == {"static": "of 10 ms in FP32 it should save 2.5 ms"}


def test_a_hole_that_costs_two_conversions_is_filled(tmp_path: Path) -> None:
    world = World(int8={**INT8, "b": 3.5}, conversion=0.4)  # 0.5 ms lost in b, against 0.8 ms at its edges
    found = search(world, tmp_path).fastest()
    assert found.version is not None
    assert found.version.layers == ALL


def test_what_pays_least_for_its_error_stays(tmp_path: Path) -> None:
    """``b`` saves least for its error: 1 ms for 0.008, and ``a`` saves 2 ms for 0.005."""
    world = World(noise={"a": 0.005, "b": 0.008, "c": 0.001, "d": 0.0005})
    found = search(world, tmp_path).fastest()
    assert found.version is not None
    assert set(found.version.layers) == {"a", "c", "d"}
    assert found.left["b"] == "what it saves is not worth its conversions or its error"
    assert (found.notes["front"][0]["layers"], found.notes["front"][0]["objection"]) == (4, "cosine 0.99")


def test_what_can_be_mended_is_kept(tmp_path: Path) -> None:
    found = search(World(noise=dict.fromkeys(ALL, 0.004), mends=True), tmp_path).fastest()
    assert found.version is not None
    assert found.version.layers == ALL
    assert [row["cosine"] for row in found.notes["front"]] == [0.992]


def test_the_fastest_mode_wins(tmp_path: Path) -> None:
    world = World()
    found = search(world, tmp_path, Mode.STATIC, Mode.DYNAMIC).fastest()
    assert found.version is not None
    assert found.version.mode in (Mode.STATIC, Mode.DYNAMIC)
    assert set(found.notes["modes"]) == {"static", "dynamic"}
    lossy = World(noise=QUIET, allowed=5e-4)  # what is written twice makes twice the error: dynamic, here
    found = search(lossy, tmp_path, Mode.STATIC, Mode.DYNAMIC).fastest()
    assert found.version is not None
    assert (found.version.mode, found.version.layers) == (Mode.STATIC, ALL)


def test_nothing_faster_is_a_reason(tmp_path: Path) -> None:
    found = search(World(int8=dict.fromkeys(ALL, 9.0)), tmp_path).fastest()
    assert found.version is None
    assert found.reason is not None
    assert found.reason.startswith("no set of layers is both faster and good enough; static: of 10 ms in FP32")
    assert found.reason.endswith("nothing to gain")


def test_a_profile_in_doubt_is_settled_by_a_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "race", lambda *_: {"0": Speed(1.2, 1.1, 1.3)})
    found = search(World(int8={name: 1.1 * ms for name, ms in FP32.items()}), tmp_path).fastest()
    assert found.version is not None
    assert found.version.layers == ALL


@pytest.mark.parametrize(("whole", "kept"), [(1.32, ("b", "c", "d")), (1.4, ALL)])
def test_of_equally_fast_versions_the_most_faithful_stays(
    whole: float, kept: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {"0": Speed(1.3, 1.2, 1.4), "1": Speed(whole, 1.2, 1.6)}
    monkeypatch.setattr(World, "race", lambda *_: speeds)
    found = search(World(int8={**INT8, "a": 4.1}), tmp_path).fastest()
    assert found.version is not None
    assert found.version.layers == kept
    assert found.notes["front"][found.notes["chosen"]]["layers"] == len(kept)


def test_noise_is_no_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "race", lambda *_: {"0": Speed(1.05, 0.9, 1.2)})
    found = search(World(), tmp_path).fastest()
    assert found.version is None
    assert "nothing that keeps the accuracy is measurably faster than FP32, at best 1.05x (0.90 to 1.20)" in str(
        found.reason
    )


def test_a_gain_that_the_noise_hides_is_not_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "race", lambda *_: {"0": Speed(2.13, 0.9, 4.1)})
    told = "too noisy to tell whether what keeps the accuracy is faster: 2.13x (0.90 to 4.10), at best"
    assert told in str(search(World(), tmp_path).fastest().reason)


def test_too_lossy_altogether(tmp_path: Path) -> None:
    found = search(World(noise=dict.fromkeys(ALL, 0.5)), tmp_path).fastest()
    assert found.version is None
    assert "no set of layers is both faster and good enough; cosine" in str(found.reason)


def test_a_mode_that_fails_does_not_end_the_search(tmp_path: Path) -> None:
    world = World(faults={Mode.STATIC: "the quantizer failed: ValueError"})
    found = search(world, tmp_path, Mode.STATIC, Mode.DYNAMIC).fastest()
    assert found.version is not None
    assert found.version.mode is Mode.DYNAMIC
    assert found.notes["modes"]["static"] == "the quantizer failed: ValueError"


def test_when_the_time_is_up_what_was_found_counts(tmp_path: Path) -> None:
    world = World(noise={**QUIET, "a": 0.5})
    found = search(world, tmp_path, seconds=1e-9).fastest()
    assert found.version is None
    assert "good enough" in str(found.reason)
    assert search(World(), tmp_path, seconds=1e-9).fastest().version is not None


def test_the_smallest(tmp_path: Path) -> None:
    """Bytes count instead of milliseconds: the small weights are left before the large ones."""
    world = World(noise=dict.fromkeys(ALL, 0.004))  # so two of them fit
    found = search(world, tmp_path).smallest()
    assert found.version is not None
    assert set(found.version.layers) == {"c", "d"}
    assert found.notes["front"][0]["speedup"] is None


def test_what_is_not_smaller_is_not_the_smallest(tmp_path: Path) -> None:
    world = World(model=SimpleNamespace(path=Path("fp32"), size_bytes=3))
    found = search(world, tmp_path).smallest()
    assert found.version is None
    assert str(found.reason).startswith("no set of layers is both smaller and good enough")


def test_the_version_of_another_quantizer_races_with_the_others(tmp_path: Path) -> None:
    loud = {**QUIET, "a": 1.0}
    found = search(World(noise=loud, smooths="b c d"), tmp_path).fastest()
    assert found.version is not None
    assert [row["mode"] for row in found.notes["front"]][-1] == "static, smoothed by NNCF"
    assert found.notes["front"][-1]["speedup"] is not None
    assert "smoothing" in found.notes["seconds"]


@pytest.mark.parametrize("smooths", ["a b c d", ""])
def test_one_that_is_too_lossy_or_failed_does_not(tmp_path: Path, smooths: str) -> None:
    loud = {**QUIET, "a": 1.0}
    found = search(World(noise=loud, smooths=smooths), tmp_path).fastest()
    assert found.version is not None
    assert "a" not in found.version.layers
    failed = found.notes["modes"].get("static, smoothed by NNCF")
    assert failed == (None if smooths else "NNCF failed")


def test_where_nothing_static_is_allowed_nobody_smooths(tmp_path: Path) -> None:
    found = search(World(smooths="a b c d"), tmp_path, Mode.DYNAMIC).fastest()
    assert "smoothing" not in found.notes["seconds"]


def test_what_cannot_become_as_fast_as_what_there_is_elsewhere_is_not_written(tmp_path: Path) -> None:
    world = World(smooths="a b c d")
    found = search(world, tmp_path, rival=Rival("the model as it is, in other", 3.0)).fastest()
    assert found.version is None
    assert found.notes["front"] == []
    assert found.reason == (
        "the model as it is, in other, is 3.00x as fast as this, which no set of layers comes near; "
        "static: of 10 ms in FP32 it should save 4.5 ms"
    )


@pytest.mark.parametrize("times", [0.9, 1.9, 2.3])
def test_what_may_become_as_fast_is_looked_for(tmp_path: Path, times: float) -> None:
    found = search(World(), tmp_path, rival=Rival("the model as it is, in other", times)).fastest()
    assert found.version is not None


def test_a_rival_in_speed_is_none_in_size(tmp_path: Path) -> None:
    assert search(World(), tmp_path, rival=Rival("another", 9.0)).smallest().version is not None


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        (Speed(1.97, 1.96, 1.98), "smoothed"), (Speed(1.92, 1.85, 1.99), "smoothed"), (Speed(1.92, 1.9, 1.94), "own"),
        (Speed(1.8, 1.5, 2.1), "own"),
    ],
)  # fmt: skip
def test_of_those_that_a_race_does_not_tell_apart_the_most_faithful_stays(
    tmp_path: Path, other: Speed, stays: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is who keeps the gates on other samples, too; who may be far slower is not taken for it."""
    world = World(smooths="a", noise={**QUIET, "a": 1e-6})
    monkeypatch.setattr(
        world, "race", lambda versions, _time: dict(zip(versions, (Speed(2.0, 1.96, 2.04), other), strict=True))
    )
    found = search(world, tmp_path).fastest()
    assert found.version is not None
    assert found.version.smoothed is (stays == "smoothed")
