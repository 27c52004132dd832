"""A real artifact, written by ``packing.write`` from a small model and known evidence: nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_models import dense
from deployables import in_runtime
from gate_evidence import STEP, report

from mlopt.artifact.signing.signers import Signer
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.table import table
from mlopt.recipe.load import Loaded, parse
from mlopt.results.report import GateVerdict, Report
from mlopt.run import packaging

RECIPE = """\
apiVersion: mlopt/v1
name: digits
model: {source: FOLDER/source.onnx}
data:
  evaluation: {source: FOLDER/digits.npz}
metric: {name: accuracy}
passes: [simplify, {quantize: {optional: true}}]
seed: 7
"""
SOURCES = {
    "model": "a" * 64, "data.evaluation": "e" * 64, "code of metric.name": "c" * 64, "file score.py": "d" * 64,
}  # fmt: skip
STARTED = "2026-11-23T14:10:00Z"
PASSED = GateVerdict(
    metric="latency.p95_ms", limit="<= 14", value=12.0, ci95=(11.6, 12.5), n=1000, verdict="pass", found="pass",
    message="12.0 ms [11.6, 12.5], n = 1,000: <= 14 is met.",
)  # fmt: skip


def verdict(metric: str, **changes: Any) -> GateVerdict:
    return PASSED.model_copy(update={"metric": metric, **changes})


def recipe(folder: Path, overrides: tuple[str, ...]) -> Loaded:
    """Return the recipe; it names its files by absolute paths, as careless ones do."""
    if not (folder / "source.onnx").exists():
        dense(folder / "source.onnx")
    (folder / "digits.npz").touch()
    return parse(RECIPE.replace("FOLDER", str(folder)), folder / "digits.yaml", passes=table(), overrides=overrides)


def evidence(**changes: Any) -> Report:
    return report(**({"gates": (PASSED,), "steps": (STEP,)} | changes))


def pack(
    folder: Path, signer: Signer | None, found: Report | None = None, sources: Mapping[str, str] = SOURCES,
    **changes: Any,
) -> packaging.Artifact:  # fmt: skip
    """Write ``folder / "digits"``; without a signer it is not signed."""
    found, overrides = found or evidence(), (f"model.source={folder}/source.onnx", "target.threads=3")
    loaded = recipe(folder, overrides)
    return packaging.write(
        folder / "digits", found, in_runtime(open_onnx(folder / "source.onnx"), 2), loaded=loaded,
        samples={"onnx_fp32": [[10.0, 10.1]], "final": [[9.0, 9.1]]},
        origin=packaging.origin(loaded, sources, found, overrides, STARTED),
        **({"signer": signer, "sign": signer is not None, "allow_ungated": False} | changes),
    )  # fmt: skip
