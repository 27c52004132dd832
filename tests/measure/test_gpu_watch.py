"""What is told of a GPU while it works: by a stand-in for NVML, as none need be here."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from mlopt.measure import gpu_watch
from mlopt.measure.gpu_watch import GpuWatch


class Missing(Exception):
    pass


def nvml(*, driver: bool) -> ModuleType:
    module = ModuleType("pynvml")

    def init() -> None:
        if not driver:
            raise Missing

    for name, of in {
        "NVMLError": Missing, "nvmlInit": init, "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda _number: "gpu",
        "nvmlDeviceGetMemoryInfo": lambda _gpu: SimpleNamespace(used=3 << 30),
        "nvmlDeviceGetUtilizationRates": lambda _gpu: SimpleNamespace(gpu=90),
    }.items():  # fmt: skip
        setattr(module, name, of)
    return module


def test_memory_and_utilization_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(driver=True))
    monkeypatch.setattr(gpu_watch, "_EVERY_S", 0.001)
    with GpuWatch() as watch:
        for _ in range(2000):
            if watch.told:
                break
            time.sleep(0.005)
    assert watch.told == ("the GPU meanwhile, by NVML: up to 3,072 MiB in use, busy 90 % of the time",)


@pytest.mark.parametrize("module", [None, nvml(driver=False)], ids=["not installed", "no driver"])
def test_nothing_is_told_where_nothing_is_seen(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    with GpuWatch() as watch:
        assert watch.told == ()
