"""Recipes whose target leaves a choice, run briefly; and what holds of every such run, whatever was there to choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlopt
from mlopt.measure.parity import fidelity
from mlopt.results.report import Report, Tried
from mlopt.run.optimize import execute
from mlopt.run.request import Request
from mlopt.runtimes import openvino

BRIEFLY = {"seconds": 0.02, "rounds": 7, "max_time": 1, "operators": False}
GATES = [{"metric": "fidelity.cosine", "min": 0.99}, {"metric": "speedup.median", "min": 0.001}]
ODD = Path(__file__).parents[1] / "plugins" / "odd"


def recipe(name: str, **more: Any) -> dict[str, Any]:
    """A recipe of ``name.onnx`` and ``x.npz``, as it is written to a file."""
    found: dict[str, Any] = {
        "apiVersion": "mlopt/v1", "name": name, "model": {"source": f"./{name}.onnx"},
        "data": {"evaluation": {"source": "./x.npz"}}, "target": {"threads": 1}, "passes": ["simplify"],
        "gates": GATES, "measure": BRIEFLY,
    }  # fmt: skip
    return found | more


def optimize(folder: Path, said: dict[str, Any], **how: Any) -> mlopt.Artifact:
    """Run a recipe in ``folder``, and hold the result to what is always so."""
    path = folder / f"{said['name']}.yaml"
    path.write_text(json.dumps(said))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "import_openvino", _not_here)
        made = execute(Request(source=path, output=folder / "made", **how))
    check(made)
    return made


def _not_here() -> None:
    """The library of a runtime may crash: only processes that are there for it load it."""
    pytest.fail("the run's own process imports OpenVINO")


def shipped(report: Report) -> Tried | None:
    """The one entry of what was tried that nothing speaks against."""
    found = [each for each in report.tried if each.why_not is None]
    assert len(found) <= 1, found
    return found[0] if found else None


def check(made: mlopt.Artifact) -> None:
    """What is shipped keeps the gates, is the one that the search says it is, and is what a user then loads."""
    report, manifest = made.report, json.loads((made.path / "mlopt.json").read_text())
    final, one = report.final, shipped(report)
    assert (manifest["runtime"], manifest["options"]) == (final.runtime, final.options)
    assert manifest["model"]["digest"] == final.digest
    if report.tried and report.verdict == "pass":
        assert one is not None
        assert (one.digest, one.runtime, one.options) == (final.digest, final.runtime, final.options)
        assert one.valid is not False
        assert one.fidelity == final.fidelity or one.valid is None
    for each in report.tried:
        assert each.why_not != ""


def why(report: Report, runtime: str) -> list[str]:
    """What speaks against each that was tried in a runtime."""
    return [str(each.why_not) for each in report.tried if each.runtime == runtime]


def cosine(made: mlopt.Artifact, source: Path, feeds: dict[str, np.ndarray[Any, Any]]) -> float:
    """How close the loaded artifact is to the source in ONNX Runtime, as it is by default."""
    import onnxruntime

    session = onnxruntime.InferenceSession(source)
    names = [each.name for each in session.get_outputs()]
    expected = dict(zip(names, session.run(None, feeds), strict=True))
    with mlopt.load(made.path) as loaded:
        return fidelity(expected, loaded.run(feeds)).cosine


def odd_runtimes(folder: Path, patch: pytest.MonkeyPatch, *behaviours: str) -> list[str]:
    """Install runtimes that behave like that, and return their names (see ``mlopt_odd``)."""
    info = folder / "mlopt_odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlopt-odd\nVersion: 1.0\n")
    points = "".join(f"odd_{each} = mlopt_odd:{each}\n" for each in behaviours)
    (info / "entry_points.txt").write_text(f"[mlopt.runtimes]\n{points}")
    patch.syspath_prepend(str(ODD))
    patch.syspath_prepend(str(folder))
    return [f"odd_{each}" for each in behaviours]
