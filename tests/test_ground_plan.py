"""The ground plan of mlopt: what lies where, which way imports point, and how long they and the functions get."""

from __future__ import annotations

from pathlib import Path

import ground_plan
import pytest

import mlopt

ROOT = Path(mlopt.__file__).parent
ORDER = (
    ("api", "cli"),
    ("bench", "bisect", "tune", "predict", "deploy", "serve", "loadtest", "rollout", "monitor"),
    ("run",),
    ("claims",),
    ("recipe",),
    ("passes",),
    ("gate",),
    ("report",),
    ("compress",),
    ("measure",),
    ("tensors",),
    ("artifact",),
    ("sketches",),
    ("data",),
    ("protocol",),
    ("runtimes",),
    ("formats",),
    ("results",),
    ("core",),
)


@pytest.fixture(scope="module")
def plan() -> ground_plan.Imports:
    return ground_plan.imports(ROOT)


def test_no_modules_import_each_other(plan: ground_plan.Imports) -> None:
    assert ground_plan.circles(plan) == []


def test_imports_point_down(plan: ground_plan.Imports) -> None:
    assert ground_plan.against_the_order(plan, ORDER) == []


def test_no_path_of_imports_is_longer_than_14_modules(plan: ground_plan.Imports) -> None:
    path = ground_plan.longest_path(plan)
    assert len(path) <= 14, " > ".join(path)


def test_at_most_6_files_lie_at_the_top() -> None:
    assert len(ground_plan.top_files(ROOT)) <= 6, ground_plan.top_files(ROOT)


def test_functions_are_short() -> None:
    lengths = ground_plan.function_lengths(ROOT)
    assert lengths[len(lengths) // 2] <= 7
    assert lengths[int(0.9 * len(lengths))] <= 20


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ground_plan.modules(ROOT).values()}
    assert {str(path): length for path, length in lengths.items() if length > 303} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 122
