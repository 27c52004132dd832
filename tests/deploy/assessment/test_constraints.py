"""What the evidence says of a service, and of the machines that it holds for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from assessed import ASKED, subject, with_manifest
from deployed import LOGITS
from report_example import example_report

from mlopt.core.check import Check
from mlopt.core.hardware import INT8_DOT, Hardware
from mlopt.deploy.assessment.constraints import constraints
from mlopt.deploy.assessment.subject import AssessedArtifact
from mlopt.deploy.derived import Goal
from mlopt.results.figures import Latency
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

AVX2 = Hardware(cpu="AMD EPYC", architecture="x86_64", isa=("avx", "fma", "avx2"), cores=2, memory_bytes=8 << 30)
VNNI = AVX2.model_copy(update={"cpu": "Xeon", "isa": ("avx2", "avx512_vnni")})
ARM = Hardware(cpu="N1", architecture="aarch64", isa=("asimd", "asimddp"), cores=2, memory_bytes=8 << 30)


def told(found: AssessedArtifact, here: Hardware = AVX2) -> dict[str, Check]:
    return {check.name: check for check in constraints(found, here)}


def final(**changes: Any) -> dict[str, Any]:
    return {"final": example_report().final.model_copy(update=changes)}


def test_what_was_measured_is_told_with_what_deploy_makes_of_it() -> None:
    found = told(subject(safe_isa=()))
    content = subject().content
    assert content is not None
    settings = content.settings
    assert found["latency"].found.endswith(" of 1,200 inferences of 1")
    assert found["largest batch"] == Check(
        "largest batch", "ok", f"{settings.largest_batch}: {settings.largest_batch.why}"
    )
    assert found["rate"].found.endswith(settings.rate_per_replica.why)
    assert "as measured; at most" in found["memory"].found
    assert found["cold start"].found == "opened in 14.2 ms, first answer 2.31 ms; probes wait 31 s"
    assert {check.status for check in found.values()} == {"ok"}


def test_without_a_sweep_the_batch_is_a_note() -> None:
    found = told(subject(report={"sweep": ()}))
    assert found["largest batch"].status == "note"
    assert "no batch sweep" in found["largest batch"].found


def test_requests_that_cannot_be_joined_say_why_and_have_no_batch() -> None:
    options = OnnxRuntimeOptions(threads=2).model_dump()
    apart = subject(outputs=(replace(LOGITS, shape=(10,)),), options=options)
    found = told(apart)
    assert found["requests"].found == "one at a time: its inputs and outputs have no first axis of any size in common"
    assert "largest batch" not in found


def test_a_model_in_dynamic_int8_answers_by_its_company() -> None:
    steps = example_report().steps
    dynamic = steps[4].model_copy(update={"notes": {"mode": "dynamic"}})
    assert told(subject(report={"steps": (dynamic,)}))["requests"].status == "note"
    dropped = dynamic.model_copy(update={"status": "dropped"})
    assert told(subject(report={"steps": (dropped,)}))["requests"].status == "ok"


def test_a_percentile_that_was_not_supported_is_told_with_its_reason() -> None:
    few = Latency(
        p50=1.0, p90=None, p95=None, p99=None, p999=None, mean=1.1, n=9, ci95={},
        reasons={"p99": "n = 9, and p99 takes at least 299 samples"},
    )  # fmt: skip
    found = told(subject(report=final(latency_ms=few)))["latency"]
    assert (found.status, found.found) == (
        "note", "p50 1.00 ms of 9 inferences of 1; n = 9, and p99 takes at least 299 samples",
    )  # fmt: skip


def test_a_limit_that_one_inference_breaks_is_told() -> None:
    found = told(subject(replace(ASKED, goal=Goal(p99_ms=0.1))))["latency"]
    assert found.status == "note"
    assert "one inference alone takes longer than the 0.100 ms that are asked for" in found.found


def test_a_cold_start_that_nobody_measured_is_a_note() -> None:
    found = told(subject(report=final(cold_start=None)))["cold start"]
    assert (found.status, found.found) == ("note", "not measured; probes wait 60 s")


@pytest.mark.parametrize(
    ("safe", "here", "status"),
    [((), AVX2, "ok"), (tuple(sorted(INT8_DOT)), AVX2, "note"), (tuple(sorted(INT8_DOT)), VNNI, "ok"),
     (tuple(sorted(INT8_DOT)), ARM, "ok"), (None, VNNI, "note")],
)  # fmt: skip
def test_8_bit_sums_are_right_on_some_cpus(safe: tuple[str, ...] | None, here: Hardware, status: str) -> None:
    assert told(subject(safe_isa=safe), here)["8-bit sums"].status == status


def test_only_a_model_that_mlopt_quantized_once_is_told_how_to_be_portable() -> None:
    safe = tuple(sorted(INT8_DOT))
    step = example_report().steps[4]
    once = told(subject(report={"steps": (step,)}, safe_isa=safe))["8-bit sums"]
    assert once.fix == "mlopt optimize mnist_cnn.yaml --set passes.quantize.portable=true"
    assert told(subject(safe_isa=safe))["8-bit sums"].fix is None, "two steps have that name"


def test_bfloat16_takes_a_cpu_that_has_it() -> None:
    found = with_manifest(subject(), options={"threads": 2, "precision": "bf16"})
    assert "precision" not in told(subject())
    assert told(found)["precision"].status == "note"
    able = AVX2.model_copy(update={"isa": ("avx2", "avx512_bf16")})
    assert told(found, able)["precision"].status == "ok"


@pytest.mark.parametrize(
    ("here", "same"), [(AVX2, True), (VNNI, False), (ARM, False), (AVX2.model_copy(update={"cores": 8}), False)]
)
def test_figures_are_of_a_kind_of_machine(here: Hardware, same: bool) -> None:
    found = told(subject(), here)["machine"]
    assert found.status == ("ok" if same else "note")
    assert found.found.startswith("measured on AMD EPYC 7R13 Processor, 2 cores (AVX2, without VNNI); this one is")


def test_what_no_engine_takes_has_no_settings() -> None:
    found = told(replace(subject(), content=None))
    assert {"requests", "rate", "memory"} & set(found) == set()
    assert {"latency", "cold start", "machine"} <= set(found)
