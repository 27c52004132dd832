"""What the evidence says of the service to come, and for which machines it says that."""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.core.check import Check
from mlopt.core.hardware import INSTRUCTIONS_OF, CpuKind, Hardware, kind_of
from mlopt.deploy.assessment.subject import AssessedArtifact
from mlopt.deploy.contents import ServedContent, why_apart
from mlopt.deploy.derived import late, sweep_points
from mlopt.report import facts
from mlopt.results.report import Report

_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_DYNAMIC = "a step used dynamic INT8, which scales by the batch: who is beside a sample may change its answer a little"


def constraints(found: AssessedArtifact, here: Hardware) -> Iterator[Check]:
    """Say what is known of latency, batches, memory, start and precision, and whether ``here`` is such a machine."""
    yield _latency(found)
    if found.content is not None:
        yield from _settings(found.content)
    yield _start(found)
    yield _sums(found, here)
    yield from _precision(found, here)
    yield _machine(found.report, here)


def _latency(found: AssessedArtifact) -> Check:
    final = found.report.final
    name, value = late(final.latency_ms)
    said = f"{name} {facts.ms(value)} of {facts.counted(final.latency_ms.n)} inferences of {final.batch_size or 1}"
    limit = found.asked.goal.p99_ms
    if limit is not None and value > limit:
        said = f"{said}: one inference alone takes longer than the {facts.ms(limit)} that are asked for"
        return Check("latency", "note", said, "a higher --slo, or a smaller model")
    if name != "p99":
        return Check("latency", "note", f"{said}; {final.latency_ms.reasons.get('p99', 'p99 was not measured')}")
    return Check("latency", "ok", said)


def _settings(content: ServedContent) -> Iterator[Check]:
    """Say what `mlopt deploy` derives, with its own reasons."""
    settings = content.settings
    apart = why_apart(content.manifest, content.options)
    if apart is not None:
        yield Check("requests", "ok", f"one at a time: {apart}")
    else:
        dynamic = _is_dynamic(content.report)
        said = "joined along their first axis" + (f"; {_DYNAMIC}" if dynamic else "")
        yield Check("requests", "note" if dynamic else "ok", said)
        swept = bool(sweep_points(content.report, content.options.threads))
        batch = settings.largest_batch
        yield Check("largest batch", "ok" if swept else "note", f"{batch}: {batch.why}")
    rate, memory, limit = settings.rate_per_replica, settings.memory_mib, settings.memory_limit_mib
    yield Check("rate", "ok", f"{rate} samples/s of a replica: {rate.why}")
    yield Check("replicas", "ok", f"{settings.replicas}: {settings.replicas.why}")
    yield Check("memory", "ok", f"{memory} MiB without the engine's own: {memory.why}; at most {limit}: {limit.why}")


def _is_dynamic(report: Report) -> bool:
    kept = (step for step in report.steps if step.status in {"applied", "cached"})
    return any(step.notes.get("mode") == "dynamic" for step in kept)


def _start(found: AssessedArtifact) -> Check:
    cold = found.report.final.cold_start
    wait = "" if found.content is None else f"; probes wait {found.content.settings.start_s} s"
    if cold is None:
        return Check("cold start", "note", f"not measured{wait}")
    return Check(
        "cold start", "ok", f"opened in {facts.ms(cold.load_ms)}, first answer {facts.ms(cold.first_ms)}{wait}"
    )


def _sums(found: AssessedArtifact, here: Hardware) -> Check:
    """Say on which CPUs 8-bit sums are right: what is written refuses the others."""
    safe = found.manifest.safe_isa
    if safe is None:
        return Check("8-bit sums", "note", f"{found.manifest.runtime} does not tell on which CPUs they are right")
    if not safe:
        return Check("8-bit sums", "ok", "right on every CPU")
    said = f"they would overflow on an x86 CPU without any of {', '.join(safe)}: what is written ends there with exit 2"
    if not here.is_x86 or set(safe) & set(here.isa):
        return Check("8-bit sums", "ok", said)
    alone = [step.name for step in found.report.steps].count("quantize") == 1
    portable = found.again("--set", "passes.quantize.portable=true") if alone else None
    return Check("8-bit sums", "note", f"{said}; this machine is one", portable)


def _precision(found: AssessedArtifact, here: Hardware) -> Iterator[Check]:
    if found.manifest.options.get("precision") != "bf16":
        return
    said = "bfloat16, as it was measured: what is written ends with exit 2 on a CPU without it"
    if _BF16 & set(here.isa):
        yield Check("precision", "ok", said)
    else:
        yield Check("precision", "note", f"{said}; this machine is one")


def _machine(report: Report, here: Hardware) -> Check:
    """Say whether this machine is of the kind that the figures are from: kernels, and with them rounding, follow it."""
    there = report.environment.cpu
    measured, own = kind_of(there.isa), here.cpu_kind
    said = f"measured on {there.model}, {there.cores} cores ({_kind(measured, there.isa)})"
    if (measured, there.cores) == (own, here.cores) and (measured is not None or set(there.isa) == set(here.isa)):
        return Check("machine", "ok", f"{said}; this one is of that kind")
    return Check(
        "machine", "note", f"{said}; this one is {here.cpu}, {here.cores} cores ({_kind(own, here.isa)}): the figures "
        f"hold where it serves only if that machine is as the first",
    )  # fmt: skip


def _kind(kind: CpuKind | None, isa: tuple[str, ...]) -> str:
    return INSTRUCTIONS_OF[kind] if kind is not None else ", ".join(isa[:3]) or "no set that matters here"
