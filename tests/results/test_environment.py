"""Where and when figures were found."""

from __future__ import annotations

import platform
from datetime import UTC, datetime, timedelta

from mlopt import __version__
from mlopt.core.hardware import Gpu, Hardware
from mlopt.results.environment import environment, now

MACHINE = Hardware(cpu="AMD EPYC 7763", architecture="x86_64", isa=("avx2", "fma"), cores=2, memory_bytes=1 << 34)


def test_the_machine_is_the_one_that_is_given_and_the_versions_are_those_here() -> None:
    found = environment(MACHINE)
    assert (found.cpu.model, found.cpu.isa, found.cpu.cores, found.gpu) == ("AMD EPYC 7763", ("avx2", "fma"), 2, None)
    assert (found.python, found.mlopt) == (platform.python_version(), __version__)
    assert {"numpy", "onnx", "onnxruntime"} <= set(found.packages)


def test_a_gpu_is_told_by_its_name() -> None:
    gpu = Gpu(name="NVIDIA L4", compute_capability="8.9", memory_bytes=1 << 34, driver="550")
    assert environment(MACHINE.model_copy(update={"gpu": gpu})).gpu == "NVIDIA L4"


def test_the_time_is_utc_to_the_second() -> None:
    text = now()
    assert text.endswith("Z")
    found = datetime.fromisoformat(text)
    assert found.tzinfo == UTC
    assert abs(datetime.now(UTC) - found) < timedelta(minutes=1)
