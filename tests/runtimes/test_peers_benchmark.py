"""The comparison with rivals, as far as it is pure: who wins, what is asked, how it is told, and the stored page."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Blocks = list[list[float]]
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def figures(load: Load) -> ModuleType:
    return load("peers.figures")


def blocks(ms: float, seed: int = 0, noise: float = 0.01) -> Blocks:
    """Ten rounds of two blocks around a median."""
    random = np.random.default_rng(seed)
    return [(ms * np.exp(noise * random.standard_normal(20))).tolist() for _ in range(20)]


SPEEDS = {"FP32": 10.0, "mlopt auto": 4.0, "OpenVINO default": 5.0, "Olive static": 2.0}
TOOK = {"seconds": 3.0, "cpu_s": 2.0, "peak_rss_bytes": 50_000_000}


def judged(*missed: str, **more: Any) -> dict[str, Any]:
    row = {"quality": {"cosine": 0.5 if missed else 0.999}, "missed": list(missed), "size_bytes": 1000}
    return row | {"config_lines": 4, "made": TOOK} | more


def row(
    figures: ModuleType, speeds: dict[str, float] | None = None, *missed: str, noise: float = 0.01
) -> dict[str, Any]:
    """Describe a row in which mlopt is the fastest that keeps the limits, unless told otherwise."""
    timed = {name: blocks(ms, seed, noise) for seed, (name, ms) in enumerate((speeds or SPEEDS).items())}
    contenders = {
        "FP32": judged(made={}), "mlopt auto": judged(*missed), "OpenVINO default": judged(made={}),
        "Olive static": judged("cosine"), "pruna": {"failed": "no | CPU", "config_lines": 3},
    }  # fmt: skip
    figures.timed(contenders, timed, {})
    return {
        "bars": {"cosine": 0.99}, "noise_floor": 0.02, "contenders": contenders, "created": "2026-01-01T00:00:00Z",
        "mlopt": {"shipped": "source, openvino (precision bf16)", "quantized": False, "command": ["tune"]},
        "against_best": figures.beside_rivals(contenders, timed, 0.02), "seconds": 1.0, "processes": 2,
        "model": {"digest": "0", "inputs": ["x: float32[1]"]}, "samples": {"calibration": 1, "evaluation": 2},
    }  # fmt: skip


def test_mlopt_is_held_against_the_fastest_that_keeps_the_limits(figures: ModuleType) -> None:
    found = row(figures)["against_best"]
    assert (found["best"], found["wins"]) == ("OpenVINO default", "yes")
    assert found["times_as_fast"] == pytest.approx(1.25, rel=0.02)
    assert list(figures.unmet("a", row(figures))) == []
    assert figures.reason(row(figures)) is None


def test_the_source_in_onnxruntime_is_a_rival_too(figures: ModuleType) -> None:
    found = row(figures, SPEEDS | {"OpenVINO default": 20.0})["against_best"]
    assert found["best"] == "FP32"
    assert found["times_as_fast"] == pytest.approx(2.5, rel=0.02)


def test_a_row_that_is_lost_is_said_by_name(figures: ModuleType) -> None:
    lost = row(figures, SPEEDS | {"mlopt auto": 6.0})
    (line,) = figures.unmet("a", lost)
    assert line.startswith("a: slower than OpenVINO default: 0.8")
    assert "came out faster" in figures.reason(lost)


def test_the_same_form_is_even_and_said_to_be_the_same(figures: ModuleType) -> None:
    even = row(figures, SPEEDS | {"mlopt auto": 5.0}, noise=0.05)
    assert even["against_best"]["wins"] == "even"
    assert list(figures.unmet("a", even)) == []
    assert "the same form as OpenVINO default" in figures.reason(even)
    assert "two copies of one model differ" in figures.reason(even)
    even["mlopt"]["quantized"] = True
    assert "the same form" not in figures.reason(even)


def test_a_model_that_misses_a_limit_counts_as_the_baseline(figures: ModuleType) -> None:
    found = row(figures, None, "cosine")
    assert found["against_best"]["times_as_fast"] == pytest.approx(0.5, rel=0.02)
    first, second = figures.unmet("a", found)
    assert "mlopt misses cosine (0.5000, bar 0.99)" in first
    assert "slower than OpenVINO default" in second
    assert "the baseline counts" in figures.reason(found)


@pytest.mark.parametrize(("ours", "lines"), [(4.0, 0), (4.5, 1)])
def test_the_mean_is_asked_for(figures: ModuleType, ours: float, lines: int) -> None:
    rows = {"a": row(figures, SPEEDS | {"mlopt auto": ours}), "b": row(figures, SPEEDS | {"mlopt auto": ours})}
    assert len(list(figures.below_aim(rows))) == lines
    assert list(figures.below_aim({})) == []


def test_lines_are_counted_between_the_marks_of_one_way(load: Load) -> None:
    script = (
        "import os\n# written by a user: from here\none = 1\n\n# a comment\n# to here\ntwo = 2\n"
        "# written by a user: from here, static\nthree = 3\n# to here\n"
    )
    counted = load("peers.rivals").counted_lines
    assert (counted(script), counted(script, "static"), counted(script, "dynamic")) == (1, 2, 1)


def test_every_rival_says_what_its_user_writes_and_how_it_starts(load: Load) -> None:
    rivals, starts = load("peers.rivals"), load("peers.starts").STARTS
    assert len({rival.name for rival in rivals.RIVALS}) == len(rivals.RIVALS)
    for rival in rivals.RIVALS:
        assert rivals.config_lines(rival) > 1, rival.name
        assert rival.tool in starts


@pytest.fixture
def document(load: Load, figures: ModuleType) -> dict[str, Any]:
    where = json.loads((BENCHMARKS / "results/first_hour.json").read_text(encoding="utf-8"))["environment"]
    return {
        "environment": where, "versions": {"olive-ai (olive)": "0.13.0"}, "settings": {"rounds": 10, "threads": 2},
        "starts": {
            "mlopt": {"what": "mlopt --help", "cpu_s": 0.12}, "pruna": {"what": "import pruna", "failed": "gone"},
        },
        "missing": {"fashion": "no data"},
        "cases": {"a": row(figures), "b": row(figures, SPEEDS | {"mlopt auto": 6.0})},
    }  # fmt: skip


def test_the_page_tells_wins_and_losses_and_what_failed(load: Load, document: dict[str, Any]) -> None:
    page = load("peers.page")
    text = page.page({"vnni": document}, page.first_hour())
    assert "It wins 1 of 2." in text
    assert "**does not win**" in text
    assert "- b: it ships source, openvino (precision bf16), which is the same form as OpenVINO default" in text
    assert "- fashion has no row: no data." in text
    assert "failed: no \\| CPU" in text
    assert "| pruna | `import pruna` | failed: gone |" in text
    assert "no: cosine" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


@pytest.mark.heavy
def test_the_picture_names_every_row_and_comes_out_the_same(
    load: Load, document: dict[str, Any], tmp_path: Path
) -> None:
    drawn = load("peers.picture").drawn
    for name in ("one.svg", "two.svg"):
        drawn(document, "x86", tmp_path / name, dark=False)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    drawn(document, "x86", tmp_path / "dark.svg", dark=True)
    assert "#0d1117" in (tmp_path / "dark.svg").read_text(encoding="utf-8")


def test_the_page_is_what_is_stored(load: Load) -> None:
    page = load("peers.page")
    assert (BENCHMARKS.parent / "docs/results.md").read_text(encoding="utf-8") == page.page(
        page.documents(), page.first_hour()
    )


@pytest.mark.process
@pytest.mark.parametrize(("code", "limit", "expected"), [("pass", 60, 0), ("raise SystemExit(7)", 60, 7),
                                                         ("import time; time.sleep(60)", 1, 124)])  # fmt: skip
def test_what_a_command_takes_is_measured(tmp_path: Path, code: str, limit: int, expected: int) -> None:
    out, script = tmp_path / "usage.json", BENCHMARKS / "peers/tools/measured.py"
    command = [sys.executable, "-S", str(script), str(out), str(limit), sys.executable, "-c", code]
    assert subprocess.run(command, check=False, timeout=60).returncode == expected
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["peak_rss_bytes"] > 1_000_000
    assert found["seconds"] >= 0
