"""The benchmark of runtimes, as far as it is pure: what it makes of timed blocks, what it asks, and how it says so."""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bench_models import dense
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.hardware import Hardware
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.openvino_options import OpenVinoOptions

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
    return load("runtimes_figures")


@pytest.fixture(scope="module")
def contenders(load: Load) -> ModuleType:
    return load("runtimes_contenders")


def blocks(ms: float, seed: int = 0, noise: float = 0.01) -> Blocks:
    """Ten rounds of two blocks around a median."""
    random = np.random.default_rng(seed)
    return [(ms * np.exp(noise * random.standard_normal(20))).tolist() for _ in range(20)]


def judged(runtime: str = "", missed: tuple[str, ...] = (), cosine: float = 0.999) -> dict[str, Any]:
    row: dict[str, Any] = {"quality": {"cosine": cosine}, "missed": list(missed), "size_bytes": 1000}
    return row | ({"runtime": runtime, "judged_in_s": 1.0} if runtime else {})


SPEEDS = {"FP32": 10.0, "ONNX Runtime dynamic": 8.0, "Olive static": 2.0, "OpenVINO default": 5.0,
          "after quantize, onnxruntime": 6.0, "source, openvino": 4.0}  # fmt: skip
SHIPPED = "source, openvino"


def case(figures: ModuleType, speeds: dict[str, float] | None = None, shipped: str = SHIPPED) -> dict[str, Any]:
    """Describe a case in which mlopt ships the fastest that keeps the bars, and a rival is faster and does not."""
    timed = {name: blocks(ms, seed) for seed, (name, ms) in enumerate((speeds or SPEEDS).items())}
    timed["mlopt auto"] = timed[shipped]
    found: dict[str, Any] = {
        "bars": {"cosine": 0.99},
        "mlopt": {"shipped": shipped, "operators": [{"op_type": "Conv", "ms": 3.0}, {"op_type": "Gemm", "ms": 1.0}]},
        "contenders": {
            "FP32": {"quality": {"cosine": 1.0}, "size_bytes": 4000}, "mlopt auto": judged(),
            "ONNX Runtime dynamic": judged(), "Olive static": judged(missed=("cosine",), cosine=0.5),
            "OpenVINO default": judged(), "NNCF + OpenVINO INT8": {"failed": "no rule for Conv | Pool"},
        },
        "deployables": {
            "after quantize, onnxruntime": judged("onnxruntime"), "source, openvino": judged("openvino"),
            "fused, openvino": {"failed": "unknown operators", "runtime": "openvino", "judged_in_s": 1.0},
        },
        "cost": figures.cost({"judging": 2.0, "racing": 3.0}, 20.0, 3),
        "created": "2026-01-01T00:00:00Z", "seconds": 2.0, "noise_floor": 0.01,
        "model": {"digest": "0", "inputs": ["x: float32[1]"]}, "samples": {"calibration": 1, "evaluation": 2},
    }  # fmt: skip
    for rows in (found["contenders"], found["deployables"]):
        figures.timed(rows, timed, {})
    found |= figures.compared(found, timed)
    return found | {"in_the_way": figures.in_the_way(found)}


def document(figures: ModuleType, *cases: dict[str, Any]) -> dict[str, Any]:
    every = {f"case {number}": each for number, each in enumerate(cases)}
    where = {"cpu": {"model": "a CPU", "isa": ["avx2"], "cores": 2}, "packages": {"onnx": "1"}, "python": "3.11"}
    return {
        "environment": where, "versions": {}, "settings": {"rounds": 10, "threads": 2, "batch_size": 1},
        "cases": every, "geometric_means": figures.means(every.values()),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "isa", "expected"),
    [
        ("x86_64", ("avx2", "avx512_vnni", "avx512_bf16"), "bf16"),
        ("x86_64", ("avx2", "amx_int8", "amx_bf16"), "bf16"),
        ("x86_64", ("avx2", "avx_vnni"), "vnni"),
        ("x86_64", ("avx2",), "avx2"),
        ("aarch64", ("asimddp", "bf16"), "arm"),
    ],
)
def test_the_kind_of_a_cpu(figures: ModuleType, architecture: str, isa: tuple[str, ...], expected: str) -> None:
    machine = Hardware(cpu="a CPU", architecture=architecture, isa=isa, cores=2, memory_bytes=1)
    assert figures.kind(machine) == expected


@given(faster=st.floats(0.2, 5.0), least=st.sampled_from([0.95, 1.0]))
def test_the_verdict_follows_the_ratio_and_its_interval(load: Load, faster: float, least: float) -> None:
    found = load("precision_figures").against_best(
        blocks(10 / faster), {"slow": blocks(50, 1), "best": blocks(10, 2), "slower": blocks(90, 3)}, least
    )
    assert found["best"] == "best"
    assert found["times_as_fast"] == pytest.approx(faster, rel=0.02)
    low, high = found["ci95"]
    assert low <= found["times_as_fast"] <= high
    assert (found["verdict"] == "yes") == (found["times_as_fast"] >= least)
    assert (found["verdict"] == "no") == (high < least)


def test_what_is_noise_is_neither_won_nor_lost(load: Load) -> None:
    mine, other = blocks(10.05, 1, noise=0.2), blocks(10, 2, noise=0.2)
    found = load("precision_figures").against_best(mine, {"other": other})
    reverse = load("precision_figures").against_best(other, {"mine": mine})
    assert {found["verdict"], reverse["verdict"]} == {"yes", "open"}
    assert found["times_as_fast"] == pytest.approx(1 / reverse["times_as_fast"])


@pytest.mark.parametrize(("floor", "verdict"), [(0.0, "no"), (0.05, "no"), (0.2, "open")])
def test_nobody_is_slower_by_less_than_two_copies_of_one_model_differ(load: Load, floor: float, verdict: str) -> None:
    found = load("precision_figures").against_best(blocks(11, 1), {"other": blocks(10, 2)}, floor=floor)
    assert found["verdict"] == verdict


def test_a_good_case_leaves_nothing_to_say(figures: ModuleType) -> None:
    found = case(figures)
    assert list(figures.unmet("a", found)) == []
    assert found["counted_speedup"] == pytest.approx(2.5, rel=0.02)
    assert found["against_rivals"]["best"] == "OpenVINO default"
    assert found["against_all"] | {"times_as_fast": 1.0} == found["against_all"]
    assert found["over_onnxruntime"]["best"] == "after quantize, onnxruntime"
    assert found["over_onnxruntime"]["times_as_fast"] == pytest.approx(1.5, rel=0.02)
    assert found["in_the_way"] is None


def test_what_misses_a_bar_counts_as_the_baseline(figures: ModuleType) -> None:
    found = case(figures)
    timed = {name: blocks(ms, seed) for seed, (name, ms) in enumerate(SPEEDS.items())}
    timed["mlopt auto"] = timed[SHIPPED]
    found["contenders"]["mlopt auto"]["missed"] = ["cosine"]
    found["deployables"][SHIPPED]["missed"] = ["cosine"]
    found |= figures.compared(found, timed)
    assert found["counted_speedup"] == 1.0
    assert found["against_rivals"]["verdict"] == "no"
    assert any("misses cosine" in line for line in figures.unmet("a", found))


def broken(figures: ModuleType, how: str) -> dict[str, Any]:
    if how == "rival":
        return case(figures, SPEEDS | {"OpenVINO default": 3.5})
    if how == "own":
        return case(figures, SPEEDS | {"after quantize, onnxruntime": 3.7})
    found = case(figures)
    if how == "long":
        found["cost"] = figures.cost({"racing": 10.0}, 20.0, 3)
    elif how == "silent":
        found["cost"] = figures.cost({}, 20.0, 1)
    elif how == "lost":
        found["cost"] = {"failed": "a file was not kept"}
    elif how == "none":
        found["against_all"] = None
    else:
        found["contenders"]["mlopt auto"] = {"failed": "it died"}
    return found


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("rival", "slower than OpenVINO default: 0.8"),
        ("own", "after quantize, onnxruntime is faster by more than 5%: 0.9"),
        ("long", "the search took 10 s, 50% of the 20 s"),
        ("silent", "does not say what was tried"),
        ("lost", "a file was not kept"),
        ("none", "none of its own deployables keeps the bars"),
        ("failed", "mlopt failed: it died"),
    ],
)
def test_each_thing_that_is_asked_is_missed_by_name(figures: ModuleType, how: str, said: str) -> None:
    lines = list(figures.unmet("a", broken(figures, how)))
    assert len(lines) == 1
    assert lines[0].startswith("a: ")
    assert said in lines[0]


def test_a_search_that_is_off_by_less_than_five_percent_is_good_enough(figures: ModuleType) -> None:
    found = case(figures, SPEEDS | {"after quantize, onnxruntime": 3.88})
    assert found["against_all"]["best"] == "after quantize, onnxruntime"
    assert found["against_all"]["times_as_fast"] < 1
    assert list(figures.unmet("a", found)) == []


SLOW = SPEEDS | {SHIPPED: 6.5, "OpenVINO default": 9.0, "after quantize, onnxruntime": 7.0}


def test_below_the_aim_it_is_said_what_is_faster_and_where_time_goes(figures: ModuleType) -> None:
    found = case(figures, SLOW)
    assert found["in_the_way"] == (
        "nothing that keeps the bars is measurably faster; "
        f"Olive static is {found['contenders']['Olive static']['speedup']['median']:.2f}x, "
        "but misses cosine (0.5000, bar 0.99); of its time 75% Conv, 25% Gemm"
    )
    assert "Olive static" not in case(figures, SLOW | {"Olive static": 9.0})["in_the_way"]
    assert "OpenVINO default is faster and keeps" in case(figures, SLOW | {"OpenVINO default": 5.5})["in_the_way"]
    own = case(figures, SLOW | {"after quantize, onnxruntime": 5.5})["in_the_way"]
    assert "after quantize, onnxruntime is faster and keeps" in own


def test_below_the_aim_it_is_said_which_runtime_takes_none_of_the_forms(figures: ModuleType) -> None:
    speeds = {name: ms for name, ms in SLOW.items() if name != SHIPPED}
    found = case(figures, speeds, shipped="after quantize, onnxruntime")
    assert "openvino runs none" not in found["in_the_way"]
    found["deployables"][SHIPPED] = {"failed": "no If", "runtime": "openvino", "judged_in_s": 1.0}
    assert "openvino runs none of its forms (no If)" in figures.in_the_way(found)


@given(speedups=st.lists(st.floats(0.5, 9.0), min_size=1, max_size=9), kind=st.sampled_from(["bf16", "vnni", "avx2"]))
def test_the_aim_is_asked_of_the_mean_where_there_is_bfloat16(
    figures: ModuleType, speedups: list[float], kind: str
) -> None:
    cases = {str(n): {"counted_speedup": x, "in_the_way": "it is small",
                      "against_rivals": {"times_as_fast": 1.0}, "over_onnxruntime": {"times_as_fast": x}}
             for n, x in enumerate(speedups)}  # fmt: skip
    found = {"cases": cases, "geometric_means": figures.means(cases.values())}
    mean = math.prod(speedups) ** (1 / len(speedups))
    assert found["geometric_means"]["over_fp32"] == pytest.approx(mean)
    lines = list(figures.below_aim(found, kind))
    missed = kind == "bf16" and found["geometric_means"]["over_fp32"] < figures.AIM
    assert len(lines) == (1 + sum(x < figures.AIM for x in speedups) if missed else 0)
    known = {"avx512": {"openvino": {"geometric_mean": 1.5, "cases": 2}}}
    stored = figures.measured(known, kind, found)
    assert stored["avx512"] == known["avx512"]
    assert stored[kind]["openvino"] == {"geometric_mean": pytest.approx(mean, abs=0.006), "cases": len(speedups)}


@pytest.mark.parametrize(
    ("change", "said"),
    [({}, ""), ({"speedup": {"median": 1.4}}, "less than 1.5x"), ({"missed": ["cosine"]}, "misses cosine"),
     ({"failed": "no such pass"}, "no such pass")],
)  # fmt: skip
def test_a_specialized_model_is_held_to_its_speed_and_bars(
    figures: ModuleType, change: dict[str, Any], said: str
) -> None:
    good = judged() | {"bars": {"cosine": 0.99}, "speedup": {"median": 1.6}}
    assert said in " ".join(lines := list(figures.unmet_specialized(good | change)))
    assert len(lines) == bool(said)


@pytest.fixture
def run(contenders: ModuleType, tmp_path: Path) -> Any:
    """A run that shipped the second form in ONNX Runtime, of three that its cache holds, and listed them."""
    (tmp_path / "cache/passes").mkdir(parents=True)
    models = [open_onnx(dense(tmp_path / f"cache/passes/{n}.onnx", layers=n)) for n in (1, 2, 3)]
    (tmp_path / "cache/passes/part.onnx").write_bytes(b"no model by itself")
    tried = [
        {"model": f"form {n}", "digest": model.digest, "runtime": runtime, "options": options}
        for n, model in enumerate(models)
        for runtime, options in (("onnxruntime", {"threads": 2}), ("openvino", {"threads": 2, "precision": "bf16"}))
    ]
    shipped = Deployable(models[1], "onnxruntime", OnnxRuntimeOptions(threads=2))
    return contenders.ArtifactRun(shipped, {"tried": tried + tried[:2]}, models[0], tmp_path / "cache", 1.0)


def test_everything_is_all_that_was_tried_once(contenders: ModuleType, run: Any) -> None:
    found = contenders.everything(run)
    assert list(found) == [f"form {n}, {how}" for n in range(3) for how in ("onnxruntime", "openvino (precision bf16)")]
    assert len({each.identity for each in found.values()}) == len(found)
    assert [each.runtime for each in found.values()] == ["onnxruntime", "openvino"] * 3
    assert found["form 1, onnxruntime"].identity == run.deployable.identity


def test_forms_of_one_name_are_told_apart(contenders: ModuleType, run: Any) -> None:
    for tried in run.report["tried"]:
        tried["model"] = "after quantize"
    assert len(contenders.everything(run)) == 6


def test_what_is_shipped_is_there_whatever_was_listed(contenders: ModuleType, run: Any) -> None:
    run.report["tried"].clear()
    assert [each.identity for each in contenders.everything(run).values()] == [run.deployable.identity]


def test_a_form_whose_file_is_gone_is_an_error(contenders: ModuleType, run: Any) -> None:
    (run.cache / "passes/3.onnx").unlink()
    with pytest.raises(contenders.FailedError, match="form 2"):
        contenders.everything(run)


def test_how_something_is_run_in_words(contenders: ModuleType, tmp_path: Path) -> None:
    model = open_onnx(dense(tmp_path / "m.onnx"))
    plain = Deployable(model, "onnxruntime", OnnxRuntimeOptions(threads=3))
    assert contenders.words(plain) == "onnxruntime"
    basic = Deployable(model, "onnxruntime", OnnxRuntimeOptions(threads=3, graph_optimization="basic"))
    assert contenders.words(basic) == "onnxruntime (graph_optimization basic)"
    exact = Deployable(model, "openvino", OpenVinoOptions(threads=1))
    assert contenders.words(exact) == "openvino (precision exact)"


def test_another_interpreter_does_not_see_what_mlopt_is_given(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings = load("precision_contenders").surroundings
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert "PYTHONPATH" not in surroundings("/another/python", {})
    own = surroundings(sys.executable, {"MLOPT_CACHE": "/c"})
    assert own["PYTHONPATH"].split(os.pathsep) == [str(BENCHMARKS.parent), "/elsewhere"]
    assert own["MLOPT_CACHE"] == "/c"
    assert own["CI"] == "1"


@pytest.fixture
def pages(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], dict[str, str]]:
    """Write the pages of a document, and return them by name."""
    page = load("runtimes_page")
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "DOCS", tmp_path)

    def written(found: dict[str, Any]) -> dict[str, str]:
        (tmp_path / "runtimes_bf16.json").write_text(json.dumps(found), encoding="utf-8")
        page.main()
        return {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.md")}

    return written


def test_pages_say_plainly_who_wins(figures: ModuleType, pages: Callable[[dict[str, Any]], dict[str, str]]) -> None:
    won, lost = case(figures), case(figures, SPEEDS | {"OpenVINO default": 3.0})
    failed = deepcopy(won)
    failed["contenders"]["mlopt auto"] = {"failed": "it died | twice"}
    failed["mlopt"], failed["deployables"], failed["against_all"] = {"shipped": ""}, {}, None
    found = pages(document(figures, won, lost, failed) | {"specialize": {"failed": "none", "created": "now"}})
    front = found["runtimes-measured.md"]
    assert "mlopt does not win: case 1 (OpenVINO default)." in front
    assert "| case 1 |" in front
    assert "**no**" in front
    assert "failed: none" in front
    assert "runtimes-measured-bf16.md" in found
    for text in found.values():
        tables = [line.replace(r"\|", "") for line in text.splitlines() if line.startswith("|")]
        widths = {line.count("|") for line in tables}
        assert tables
        assert widths <= {7, 9}


def test_without_results_there_are_no_pages(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = load("runtimes_page")
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "DOCS", tmp_path)
    page.main()
    assert list(tmp_path.iterdir()) == []
