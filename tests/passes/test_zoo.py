"""A part of the zoo: architectures written by hand, through export, simplify and fuse, judged on other sizes.

All of it is benchmarks/zoo.py, which needs timm, transformers and torchvision; docs/zoo.md has what came of it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pass_runs import applied, fresh, outputs_of, run_pass

from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.source import materialize
from mlopt.passes.table import table

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PACKAGES = BENCHMARKS.parent / ".bench/zoo/site-packages"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("zoo_models")


@pytest.mark.parametrize("name", ["ft_transformer", "gnn_scatter", "tabnet", "unet", "yolo_head"])
def test_an_architecture_comes_out_right_at_the_first_try(name: str, models: ModuleType, tmp_path: Path) -> None:
    code = tmp_path / "model.py"
    code.write_text(f"import zoo_models\ndef build():\n    return zoo_models.build({name!r})\n")
    specs = tuple(TensorSpec(key, spec.dtype, spec.shape) for key, spec in models.ZOO[name].inputs.items())
    model = materialize(CodeReference(code, "build"), None, specs, (), fresh(tmp_path, "source"))
    samples = models.arrays(name, second=False, seed=1, count=4)
    for step in ("export", "simplify", "fuse"):
        result = applied(run_pass(table()[step], model, {}, tmp_path, samples=samples, inputs=specs))
        model = open_onnx(result.path)
    feeds = models.arrays(name, second=True, seed=2)
    expected = models.call(models.build(name), feeds)
    for reference, got in zip(expected, outputs_of(model, feeds).values(), strict=True):
        np.testing.assert_allclose(got, reference, rtol=1e-3, atol=1e-4 * float(reference.abs().max()))


@pytest.mark.slow
@pytest.mark.skipif(not PACKAGES.exists(), reason="no timm, transformers and torchvision: `make zoo` installs them")
@pytest.mark.parametrize("name", ["t5_encoder"])
def test_the_benchmark_tries_an_architecture(name: str, tmp_path: Path) -> None:
    code = "import json, sys, pathlib, zoo; print(json.dumps(zoo.one(sys.argv[1], pathlib.Path(sys.argv[2]))))"
    paths = os.pathsep.join(map(str, (PACKAGES, BENCHMARKS, *filter(None, (os.environ.get("PYTHONPATH"),)))))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, name, tmp_path], env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1])["outcome"] == "right"


def test_the_stored_result_is_what_the_project_promises() -> None:
    stored = json.loads((BENCHMARKS / "results/zoo.json").read_text())["architectures"]
    outcomes = [result["outcome"] for result in stored.values()]
    assert outcomes.count("right") >= 50
    assert "wrong" not in outcomes
