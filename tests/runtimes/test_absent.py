"""What is said of runtimes that are not installed: when, and with which figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlopt.core.hardware import Hardware
from mlopt.core.packages import install_command
from mlopt.core.target import Target
from mlopt.formats.model import ONNX, TORCH
from mlopt.runtimes import onnxruntime, openvino, torch
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.absent import Absent, absent
from mlopt.runtimes.measured import Gains, RuntimeGain

AUTO = Target(runtime="auto")
KNOWN: Gains = {"bf16": {"openvino": RuntimeGain(geometric_mean=1.5, cases=9)}}
LINE = f"openvino is not installed and may be faster here: {install_command('openvino')}"


def cpu(*isa: str) -> Hardware:
    return Hardware(cpu="a CPU", architecture="x86_64", isa=isa, cores=2, memory_bytes=1)


BF16 = cpu("avx2", "avx512_vnni", "avx512_bf16")


@pytest.fixture(autouse=True)
def none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of mlopt's own runtimes, none of which is there."""
    gone: dict[str, Any] = {"packages": ("mlopt-is-not-installed",)}
    every = tuple(replace(each.RUNTIME, **gone) for each in (onnxruntime, torch, openvino))
    monkeypatch.setattr(runtimes, "BUILTIN", every)


def test_a_runtime_that_auto_would_try_is_told_with_what_brings_it() -> None:
    (found,) = absent(AUTO, BF16, {})
    assert found == Absent("openvino", install_command("openvino"), "may be faster here")
    assert str(found) == LINE


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ({"runtime": "onnxruntime"}, []),
        ({"runtime": "openvino"}, []),
        ({"runtime": ("onnxruntime",)}, ["onnxruntime"]),
        ({"runtime": ("openvino", "torch", "onnxruntime")}, ["onnxruntime", "openvino"]),
        ({"runtime": "auto", "device": "cuda"}, []),
        ({"runtime": "auto"}, ["openvino"]),
    ],
)
def test_only_auto_and_lists_ask_for_more_than_there_is(target: dict[str, Any], names: list[str]) -> None:
    assert [each.runtime for each in absent(Target(**target), BF16, KNOWN)] == names


def test_the_figure_is_that_of_the_same_kind_of_cpu_or_there_is_none() -> None:
    (told,) = absent(AUTO, BF16, KNOWN)
    assert str(told) == (
        "openvino is not installed and may be faster here (on a CPU with AVX512_BF16 it was 1.50x as fast as "
        f"onnxruntime, geometric mean of 9 models): {install_command('openvino')}"
    )
    for other in (cpu("avx2"), cpu("avx2", "avx_vnni"), cpu(), cpu("asimd")):
        assert [str(each) for each in absent(AUTO, other, KNOWN)] == [LINE]


@pytest.mark.parametrize("mean", [0.4, 1.0, 1.004])
def test_what_was_no_faster_on_such_a_cpu_is_not_advised(mean: float) -> None:
    assert absent(AUTO, cpu("avx2"), {"avx2": {"openvino": RuntimeGain(geometric_mean=mean, cases=1)}}) == []


def test_what_is_installed_or_runs_no_onnx_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    there = replace(openvino.RUNTIME, packages=("numpy",))
    other = replace(openvino.RUNTIME, name="other", kinds=frozenset({TORCH}), packages=("mlopt-is-not-installed",))
    monkeypatch.setattr(runtimes, "BUILTIN", (there, other))
    assert absent(AUTO, BF16, KNOWN) == []
    monkeypatch.setattr(runtimes, "BUILTIN", (there, replace(other, kinds=frozenset({ONNX, TORCH}), extra=None)))
    assert [each.install for each in absent(AUTO, BF16, KNOWN)] == ["pip install mlopt-is-not-installed"]
