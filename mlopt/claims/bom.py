"""``bom.cdx.json``: the bill of materials with a model card, in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).

It is a file of the artifact, under its signature. The library of CycloneDX knows no model cards, so this is plain JSON.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlopt.artifact.layout import ModelEntry
from mlopt.claims.facts import FILE
from mlopt.claims.naming import package_url, portable
from mlopt.core.foreign_text import as_json
from mlopt.recipe.lock import installed
from mlopt.recipe.origin import Origin
from mlopt.results.report import Report

BOM = "bom.cdx.json"
_CLASSES = {"accuracy", "agreement"}
"""The metrics that compare classes."""
_MODEL = "model"


def render(
    report: Report, entry: ModelEntry, files: Mapping[str, str], recipe: Mapping[str, Any], origin: Origin,
    runtime: Collection[str],
) -> str:  # fmt: skip
    """Return the text; ``files`` are the SHA-256 of the model's files by name, ``recipe`` is the resolved one.

    ``runtime`` names the packages that run the model.

    The serial number stands for the model, and the time is that of the report, so equal evidence gives equal bytes.
    """
    packages = {name: _package(name, version, origin) for name, version in sorted(origin.packages.items())}
    depends = [packages[name]["bom-ref"] for name in packages if name in runtime]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"https://mlopt.dev/bom/{entry.digest}").urn,
        "version": 1,
        "metadata": {
            "timestamp": report.created,
            "tools": {"components": [{"type": "application", "name": "mlopt", "version": origin.mlopt}]},
            "component": _model(report, entry, files, recipe, origin),
        },
        "components": [*_data(report), *_code(origin), *packages.values()],
        "dependencies": [{"ref": _MODEL, "dependsOn": depends}],
        "compositions": [{"aggregate": "incomplete", "assemblies": [_MODEL]}],
    }
    return as_json(portable(bom)) + "\n"


def _model(
    report: Report, entry: ModelEntry, files: Mapping[str, str], recipe: Mapping[str, Any], origin: Origin
) -> dict[str, Any]:
    steps = ", ".join(step.name for step in report.steps if step.status in {"applied", "cached"})
    source: dict[str, Any] = {"type": "machine-learning-model", "name": str(recipe["model"]["source"])}
    if "model" in origin.sources:
        source["properties"] = [{"name": "mlopt:digest", "value": origin.sources["model"]}]
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": report.name,
        "pedigree": {"ancestors": [source], "notes": f"passes of mlopt: {steps or 'none'}"},
        "components": [{"type": "file", "name": name, "hashes": [_sha256(digest)]} for name, digest in files.items()],
        "modelCard": {
            "modelParameters": {
                **({"task": "classification"} if recipe["metric"]["name"] in _CLASSES else {}),
                "datasets": [{"ref": f"data.{role}"} for role in sorted(report.data)],
                "inputs": [{"format": str(spec)} for spec in entry.inputs],
                "outputs": [{"format": str(spec)} for spec in entry.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": list(_metrics(report))},
            **_considerations(report),
        },
    }


def _metrics(report: Report) -> Iterator[dict[str, Any]]:
    """Yield the figures of the final model, and what they were measured on where speed hangs on it."""
    final, environment = report.final, report.environment
    machine = ", ".join(filter(None, (environment.cpu.model, environment.gpu, f"{environment.cpu.cores} cores")))
    load = {"batch size": final.batch_size, "threads": final.options.get("threads")}
    there = "; ".join([machine, *(f"{name} {value}" for name, value in load.items() if value is not None)])
    latency = final.latency_ms
    for name in ("p50", "p90", "p95", "p99", "p999", "mean"):
        part = f"{there}; n = {latency.n}"
        yield from _metric(f"latency.{name}_ms", getattr(latency, name), part, latency.ci95.get(name))
    yield from _metric("throughput_per_s", final.throughput_per_s, there)
    for vs, speedup in report.speedups.items():
        yield from _metric(f"speedup.median vs {vs}", speedup.median, there, speedup.ci95)
    yield from _metric("size_bytes", final.size_bytes)
    yield from _metric("peak_rss_bytes", final.peak_rss_bytes, there)
    samples = "evaluation data, n = {}"
    if final.accuracy is not None:
        accuracy = final.accuracy
        yield from _metric(accuracy.metric, accuracy.value, samples.format(accuracy.n), accuracy.ci95)
    if report.accuracy_drop is not None:
        drop = report.accuracy_drop
        yield from _metric(f"accuracy.drop_pt vs {drop.vs}", drop.pt, samples.format(drop.n), drop.ci95)
    if final.fidelity is not None:
        yield from _metric("fidelity.cosine", final.fidelity.cosine, samples.format(final.fidelity.n))


def _metric(
    kind: str, value: float | None, part: str | None = None, interval: tuple[float, float] | None = None
) -> Iterator[dict[str, Any]]:
    if value is None:
        return
    metric: dict[str, Any] = {"type": kind, "value": f"{value:.10g}"}
    if part is not None:
        metric["slice"] = part
    if interval is not None:
        metric["confidenceInterval"] = {"lowerBound": f"{interval[0]:.10g}", "upperBound": f"{interval[1]:.10g}"}
    yield metric


def _considerations(report: Report) -> dict[str, Any]:
    """Return what is known to speak against the model, from the measurements alone."""
    drop = report.accuracy_drop
    known: dict[str, list[str]] = {}
    if drop is not None and drop.ci95[0] > 0:
        metric = report.final.accuracy.metric if report.final.accuracy else "the metric"
        lost = f"{metric} is {_figure(drop.pt, drop.ci95)} points below that of {drop.vs}"
        gained = f"{_figure(report.speedup.median, report.speedup.ci95)} times the speed of {report.speedup.vs}"
        known["performanceTradeoffs"] = [f"{lost}, for {gained}"]
    if report.verdict != "pass":
        unmet = [f"{gate.metric} {gate.limit}: {gate.verdict}" for gate in report.gates if gate.verdict != "pass"]
        known["technicalLimitations"] = [f"It does not meet its gates ({'; '.join(unmet)})."]
    return {"considerations": known} if known else {}


def _figure(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3g} [{interval[0]:.3g}, {interval[1]:.3g}]"


def _data(report: Report) -> Iterator[dict[str, Any]]:
    """Yield the data sets. Their digest is over the arrays as read, and no hash of a file, so it is a property."""
    for role, about in sorted(report.data.items()):
        yield {
            "type": "data",
            "bom-ref": f"data.{role}",
            "name": str(about.get("source", role)),
            "data": [{"type": "dataset", "name": role}],
            "properties": [
                {"name": f"mlopt:{key}", "value": str(about[key])} for key in ("samples", "digest") if key in about
            ],
        }


def _code(origin: Origin) -> Iterator[dict[str, Any]]:
    """Yield the recipe's Python files."""
    for key, digest in sorted(origin.sources.items()):
        if key.startswith(FILE):
            yield {"type": "file", "bom-ref": key, "name": key.removeprefix(FILE), "hashes": [_sha256(digest)]}


def _package(name: str, version: str, origin: Origin) -> dict[str, Any]:
    """Return an installed package; what is known of its content is the digest of its file ``RECORD``."""
    distribution, version = installed(name, version)
    url, record = package_url(distribution, version), origin.records.get(name)
    file = {"type": "file", "name": f"{distribution}.dist-info/RECORD", "hashes": [_sha256(record)]} if record else None
    return {
        "type": "library",
        "bom-ref": url,
        "name": distribution,
        "version": version,
        "purl": url,
        **({"components": [file]} if file else {}),
    }


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
