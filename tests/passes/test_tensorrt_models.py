"""Engines of real models, for four generations of GPUs: FP32, FP16 and INT8, of fixed sizes and of any batch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pass_runs import applied, fresh, run_pass
from tensorrt_graphs import needed

from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Array
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.tensorrt import read
from mlopt.formats.torch.source import materialize
from mlopt.passes import export, fp16, quantize, simplify, specialize, tensorrt

pytestmark = [pytest.mark.rtx, needed]

RECIPES = Path(__file__).parents[2] / "recipes"
TARGETS = ("sm80", "sm86", "sm89", "sm120")
SECONDS, SAMPLES = 60, 16
INPUTS: Mapping[str, tuple[TensorSpec, ...]] = {
    "mnist_cnn": (TensorSpec("image", "float32", ("batch", 1, 28, 28)),),
    "efficientnet_lite0": (TensorSpec("image", "float32", ("batch", 3, 224, 224)),),
    "minilm": tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in ("input_ids", "attention_mask")),
}
HALVES: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "fp16": (fp16.PASS, {"placement": "tensorrt"}),
    "int8": (quantize.PASS, {"mode": "static", "placement": "tensorrt"}),
}


@dataclass(frozen=True)
class Exported:
    model: Model
    samples: Mapping[str, Array]
    folder: Path

    def then(self, pass_: Any, **config: Any) -> Exported:
        done = applied(run_pass(pass_, self.model, config, self.folder, calibration=self.samples, samples=self.samples))
        return Exported(open_onnx(done.path), self.samples, self.folder)


@pytest.fixture(scope="module", params=INPUTS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """A recipe's model in ONNX, untrained where the recipe would train it."""
    name, folder = request.param, tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPES))
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        recipe = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, name, recipe)
        spec.loader.exec_module(recipe)
        found = recipe.calibration()
        samples = {key: value[:SAMPLES] for key, value in (found[0] if isinstance(found, tuple) else found).items()}
        source = materialize(
            CodeReference(RECIPES / f"{name}.py", "build"), None, INPUTS[name], (), fresh(folder, "torch")
        )
        done = applied(run_pass(export.PASS, source, {}, folder, samples=samples, inputs=INPUTS[name]))
        yield Exported(open_onnx(done.path), samples, folder).then(simplify.PASS)


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "any batch"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_engines_are_built_in_time(exported: Exported, precision: str, fixed: bool) -> None:
    one = exported
    if fixed:
        sizes = (
            {"batch": 1, "sequence": exported.samples["input_ids"].shape[1]}
            if "input_ids" in exported.samples
            else {"batch": 1}
        )
        one = one.then(specialize.PASS, dims=sizes)
    if precision in HALVES:
        pass_, config = HALVES[precision]
        one = one.then(pass_, **config)
    done = applied(run_pass(
        tensorrt.PASS, one.model, {"backend": "tensorrt_rtx", "targets": TARGETS}, one.folder, samples=one.samples
    ))  # fmt: skip
    found = read(done.path)
    assert [each.target for each in found.engines] == list(TARGETS)
    assert max(each.seconds for each in found.engines) < SECONDS
    assert found.reproducible is fixed
    assert {each.precision for each in found.engines} == {precision}
    assert precision == "fp32" or done.notes["layers in"][precision] > 0.5
