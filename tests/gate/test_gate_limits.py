"""What a gate may say, for which machines it is meant, and how its limit reads."""

from __future__ import annotations

import math
from typing import Any

import pytest
from gate_evidence import ENVIRONMENT
from pydantic import ValidationError

from mlopt.gate.limits import Gate, HardwareClass, is_stored


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "latency.p95_ms"}, "exactly one of `max` and `min`"),
        ({"metric": "latency.p95_ms", "max": 1, "min": 0}, "exactly one of `max` and `min`"),
        ({"metric": "latency.p95", "max": 1}, "did you mean 'latency.p95_ms'?"),
        ({"metric": "bananas", "max": 1}, "choose one of latency.p50_ms"),
        ({"metric": "size_mb", "max": 1, "vs": "onnx_fp32"}, "`vs` does not go with size_mb"),
        ({"metric": "size_mb", "max": math.nan}, "finite"),
        ({"metric": "size_mb", "max": math.inf}, "finite"),
        ({"metric": "size_mb", "max": "12"}, "valid number"),
        ({"metric": "size_mb", "max": True}, "valid number"),
        ({"metric": "size_mb", "max": 1, "on_inconclusive": "ignore"}, "'fail', 'warn' or 'pass'"),
        ({"metric": "latency.p95_ms", "max": 1, "confidence": 0.5}, "greater than 0.5"),
        ({"metric": "latency.p95_ms", "max": 1, "confidence": 1.0}, "less than or equal to 0.9999"),
        ({"metric": "latency.p95_ms", "max": 1, "hardware": {"ram": 2}}, "not permitted"),
        ({"metric": "latency.p95_ms", "max": 1, "hardware": {"cores": 0}}, "greater than or equal to 1"),
        ({"metric": "size_mb", "maximum": 1}, "not permitted"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ValidationError) as error:
        Gate(**fields)
    assert message in str(error.value)


def test_limits_as_text():
    assert Gate(metric="latency.p95_ms", max=12).limit == "<= 12"
    assert Gate(metric="speedup.median", min=1.2, vs="onnx_fp32").limit == ">= 1.2 vs onnx_fp32"
    assert Gate(metric="latency.p95_ms", max=12.0000001).limit == "<= 12.0000001"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"cpu": "amd epyc*", "cores": 2, "isa": ("avx2",), "gpu": "none"}, None),
        ({"cpu": "Intel*"}, "its CPU is AMD EPYC 7763"),
        ({"cores": 3, "isa": ("fma", "avx512_vnni", "amx_int8")}, "it has 2 cores, it lacks avx512_vnni and amx_int8"),
        ({"gpu": "NVIDIA L4*"}, "its GPU is none"),
    ],
)
def test_a_machine_that_a_limit_is_not_for_is_told_by_what_differs(fields: dict[str, Any], said: str | None) -> None:
    assert HardwareClass(**fields).mismatch(ENVIRONMENT) == said


def test_a_limit_names_its_machines() -> None:
    hardware = HardwareClass(cpu="AMD EPYC*", cores=2, isa=("avx2",), gpu="none")
    assert (
        Gate(metric="latency.p95_ms", max=12, hardware=hardware).limit == "<= 12 on AMD EPYC*, 2 cores, avx2, GPU none"
    )
    assert str(HardwareClass()) == "any machine"


@pytest.mark.parametrize("vs", ["baseline", "a.json", "./main", "artifacts/main"])
def test_a_stored_report_is_told_by_its_name(vs: str) -> None:
    assert is_stored(vs)


@pytest.mark.parametrize("vs", ["onnx_fp32", "torch_eager", "models/a.onnx"])
def test_a_reference_is_no_stored_report(vs: str) -> None:
    assert not is_stored(vs)
