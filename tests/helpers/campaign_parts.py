"""Parts of a run for tests: models on disk, an evaluator that only knows figures, and samples made by formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from deployables import in_runtime

from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import ONNX, TORCH, Kind, Model, TensorSpec
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.evaluate import Evaluator
from mlopt.passes.base import PassConfig
from mlopt.recipe.schema import Recipe, Step
from mlopt.results.figures import Accuracy, AccuracyDrop, ColdStart, Disagreement, Fidelity
from mlopt.run.outcomes import Outcome
from mlopt.run.report_builder import CandidateSet, candidate_set
from mlopt.runtimes.base import Deployable, RuntimeOptions

OPTIONS = RuntimeOptions(threads=2)
PACE = {"torch_eager": 4.0, "onnx_fp32": 2.0, "onnx_fp32 (again)": 2.0, "after simplify (1)": 1.8, "final": 1.0}


def recipe(gates: tuple[Mapping[str, Any], ...] = (), **measure: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "apiVersion": "mlopt/v1", "name": "net", "model": {"source": "net.onnx"}, "passes": [],
            "gates": list(gates), "measure": measure,
        }
    )  # fmt: skip


def model(folder: Path, name: str, kind: Kind = ONNX, batch: int | str = "batch") -> Model:
    path = folder / f"{name}.onnx"
    path.write_bytes(name.encode())
    spec = TensorSpec("x", "float32", (batch, 4))
    return Model(kind, path, digest=name.ljust(64, "0"), inputs=(spec,), outputs=(spec,), files=(path,))


def chain(folder: Path, batch: int | str = "batch") -> tuple[Model, list[Outcome], CandidateSet]:
    """A PyTorch source, its export, a kept step, a dropped one, and the step that ends it."""
    source = model(folder, "source", TORCH, batch)
    names = ("export", "simplify", "quantize", "fuse")
    made = {name: in_runtime(model(folder, name, batch=batch), 2) for name in names}
    outcomes = [
        Outcome(Step(name="export", config=PassConfig()), 1, "applied", None, made["export"]),
        Outcome(Step(name="simplify", config=PassConfig()), 1, "applied", None, made["simplify"], notes={"removed": 3}),
        Outcome(Step(name="quantize", config=PassConfig()), 1, "dropped", "slower", made["quantize"]),
        Outcome(Step(name="fuse", config=PassConfig()), 1, "applied", None, made["fuse"]),
    ]  # fmt: skip
    return source, outcomes, candidate_set(in_runtime(source, 2), outcomes, 2)


@dataclass
class Figures:
    """Knows accuracy without running anything, and counts how often it is asked."""

    dataset: Dataset
    logs: Path
    hardware: Hardware = field(
        default=Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)
    )
    asked: list[str] = field(default_factory=list)

    def accuracy(self, judged: Deployable) -> Accuracy:
        self.asked.append(judged.model.digest)
        return Accuracy(metric="accuracy", value=0.9, n=100, ci95=(0.8, 0.95))

    def fidelity(self, judged: Deployable) -> Fidelity | None:
        return None

    def drop(self, judged: Deployable) -> AccuracyDrop:
        return AccuracyDrop(pt=0.0, ci95=(-1.0, 1.0), n=100, disagreements=0, vs="torch_eager")

    def differing(self, judged: Deployable, limit: int = 20) -> tuple[Disagreement, ...]:
        return (Disagreement(sample=7, label="3", reference="3", final="8"),)


def figures(folder: Path) -> Evaluator:
    values = np.zeros((8, 4), dtype=np.float32)
    values[:, 0] = np.arange(8)
    return cast(Evaluator, Figures(store(Samples({"x": values}), folder / "data", "made"), folder))


def measured(candidate: Candidate, rounds: int = 10) -> Measured:
    """Samples around the candidate's pace, a little different in each block and in each run of a block."""
    random = np.random.default_rng(len(candidate.name))
    pace = PACE.get(candidate.name, 1.0)
    blocks = tuple(tuple(float(v) for v in pace * random.uniform(0.98, 1.02, 5)) for _ in range(2 * rounds))
    return Measured(candidate, blocks, 100_000_000, ColdStart(load_ms=20.0, first_ms=5.0))


def run_of(candidates: tuple[Candidate, ...], lost: Mapping[str, str] = {}, looks_planned: int = 3, **more: Any) -> Run:
    found = {each.name: measured(each) for each in candidates if each.name not in lost}
    parts: dict[str, Any] = {
        "measured": found, "partial": {}, "lost": dict(lost), "fixes": {}, "notes": (), "looks": 1,
        "looks_planned": looks_planned, "rounds": 10, "stopped": "decided", "seconds": 12.5,
    }  # fmt: skip
    return Run(**(parts | more))
