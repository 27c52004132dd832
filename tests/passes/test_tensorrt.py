"""The pass: what a recipe may say, what is said without the library, and engines beside the model with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pass_runs import PLAIN_X86, applied, run_pass
from pydantic import ValidationError
from tensorrt_graphs import needed, product, quantized

from mlopt.core.errors import MissingPackage, PassError
from mlopt.formats.tensorrt import open_engines, read
from mlopt.passes.base import PassResult
from mlopt.passes.fp16 import Fp16Config
from mlopt.passes.fuse import FuseConfig
from mlopt.passes.quantize import QuantizeConfig
from mlopt.passes.table import table
from mlopt.passes.tensorrt import PASS, TensorRtConfig
from mlopt.recipe.schema import Recipe, Step
from mlopt.run import chain
from mlopt.runtimes import tensorrt_library

RTX = {"backend": "tensorrt_rtx", "targets": ("sm86", "sm89")}
ROWS = {"x": np.zeros((6, 8), np.float32)}


def run(tmp_path: Path, model: Any, **config: Any) -> PassResult:
    return applied(run_pass(PASS, model, {**RTX, **config}, tmp_path, samples=ROWS))


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "find_spec", lambda _name: None)


@pytest.mark.parametrize(("config", "said"), [
    ({"backend": "tensorrt", "targets": ["sm89"]}, "the GPU that is here"),
    ({"backend": "tensorrt_rtx", "timing_cache": True}, "times no kernels"),
    ({"targets": ["8.9"]}, "no compute capability"),
    ({"require_precision": {"int8": 1.5}}, "shares of layers"),
    ({"require_precision": {"fp32": 0.5}}, "fp32"),
    ({"precision": "fp16"}, "precision"),
])  # fmt: skip
def test_keys_that_do_not_fit_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TensorRtConfig(**config)


def test_what_is_missing_is_known_before_any_work(absent: None) -> None:
    (problem,) = TensorRtConfig(backend="tensorrt_rtx").lacking(None)
    assert problem.what == "TensorRT-RTX is not installed"
    assert list(TensorRtConfig(on_unavailable="skip").lacking(None)) == []


def test_without_the_library_it_is_an_error(tmp_path: Path, absent: None) -> None:
    with pytest.raises(MissingPackage, match="is not installed"):
        run(tmp_path, product(tmp_path / "m.onnx"))


def test_or_it_goes_on_without_engines_and_the_artifact_says_why(tmp_path: Path, absent: None) -> None:
    found = run(tmp_path, product(tmp_path / "m.onnx"), on_unavailable="skip")
    assert "not installed" in found.notes["skipped"]
    assert "not installed" in str(read(found.path).skipped)
    assert open_engines(found.path).carried == (found.path.parent / "engines" / "engines.json",)


@pytest.mark.parametrize(("before", "fix"), [
    (Step(name="quantize", config=QuantizeConfig()), "`quantize: {mode: static, placement: tensorrt}`"),
    (Step(name="fuse", config=FuseConfig()), "remove 'fuse'"),
    (Step(name="quantize", config=QuantizeConfig(mode="static", placement="tensorrt")), None),
    (Step(name="fuse", config=FuseConfig(level="basic")), None),
    (Step(name="fp16", config=Fp16Config(placement="tensorrt")), None),
])  # fmt: skip
def test_what_it_does_not_read_is_told_before_any_work(before: Step, fix: str | None, absent: None) -> None:
    last = Step(name="tensorrt", config=TensorRtConfig(on_unavailable="skip"))
    recipe = Recipe(apiVersion="mlopt/v1", name="m", model={"source": "m.onnx"}, passes=[before, last], gates=[])
    found = [each for each in chain.check(recipe, table(), PLAIN_X86) if "does not read" in each.what]
    assert [each.fix for each in found] == ([] if fix is None else [fix])


@pytest.mark.rtx
@needed
def test_engines_stand_beside_the_model_which_is_as_it_was(tmp_path: Path) -> None:
    model = product(tmp_path / "m.onnx", "batch")
    found = run(tmp_path, model)
    written = open_engines(found.path)
    assert [each.name for each in written.carried] == [
        "engines.json",
        "sm86_fp32_dynamic.engine",
        "sm89_fp32_dynamic.engine",
    ]
    assert sorted(file.name for file in found.path.parent.iterdir()) == ["engines", "model.onnx"]
    described = read(found.path)
    assert (described.source, described.measured, described.backend) == (model.digest, False, "tensorrt_rtx")
    assert described.profiles[0]["x"].max == (4, 8)
    assert "may differ" in found.notes["reproducible"]


@pytest.mark.rtx
@needed
def test_fixed_sizes_give_the_same_bytes_again(tmp_path: Path) -> None:
    model = product(tmp_path / "m.onnx")
    first, second = (open_engines(run(tmp_path, model).path) for _ in range(2))
    assert first.digest != model.digest
    assert [each.digest for each in read(first.path).engines] == [each.digest for each in read(second.path).engines]


@pytest.mark.rtx
@needed
def test_a_precision_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    run(tmp_path, quantized(tmp_path / "q.onnx"), require_precision={"int8": 1.0})
    with pytest.raises(PassError, match="fewer layers are in int8") as caught:
        run(tmp_path, product(tmp_path / "m.onnx"), require_precision={"int8": 0.5})
    assert "placement: tensorrt" in str(caught.value.problems[0].fix)


@pytest.mark.rtx
@needed
def test_a_profile_of_the_recipe_is_checked_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="no input 'z'"):
        run(tmp_path, product(tmp_path / "m.onnx", "batch"), profiles=({"z": {"min": [1], "opt": [1], "max": [1]}},))


@pytest.mark.rtx
@needed
def test_a_build_that_takes_too_long_is_told_with_the_key(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="did not end the build") as caught:
        run(tmp_path, product(tmp_path / "m.onnx"), timeout_s=0.05)
    assert "timeout_s" in str(caught.value.problems[0].expected)


@pytest.mark.rtx
@needed
def test_a_build_that_takes_too_much_is_told(tmp_path: Path) -> None:
    with pytest.raises(PassError) as caught:
        run(tmp_path, product(tmp_path / "m.onnx"), memory_gb=0.001, timeout_s=20)
    assert "memory_gb" in str(caught.value)


@pytest.mark.rtx
@needed
def test_engines_of_the_model_before_it_was_quantized_stand_beside(tmp_path: Path) -> None:
    whole, int8 = product(tmp_path / "m.onnx"), quantized(tmp_path / "q.onnx")
    config = {**RTX, "targets": ("sm89",), "beside": ("fp32", "fp16", "fp16")}
    done = applied(run_pass(PASS, int8, config, tmp_path, calibration=ROWS, samples=ROWS, exact=whole))
    found = read(done.path)
    assert [(each.precision, each.shapes) for each in found.engines] == [
        ("int8", "static"), ("fp32", "static"), ("fp16", "static")
    ]  # fmt: skip
    assert [each.source == found.source for each in found.engines] == [True, False, False]
    assert found.engines[1].source == whole.digest
    assert sorted(file.name for file in done.path.parent.iterdir()) == ["engines", "model.onnx"]


@pytest.mark.rtx
@needed
def test_of_sizes_that_vary_engines_are_dynamic_static_or_both(tmp_path: Path) -> None:
    found = read(run(tmp_path, product(tmp_path / "m.onnx", "batch"), shapes=("dynamic", "static")).path)
    assert {(each.target, each.shapes) for each in found.engines} == {
        (target, shapes) for target in RTX["targets"] for shapes in ("dynamic", "static")
    }
    assert not found.reproducible


@pytest.mark.rtx
@needed
@pytest.mark.parametrize(("beside", "said"), [(("fp32",), "no model in fp32"), (("fp16",), "no model in fp32")])
def test_a_model_that_came_in_int8_has_no_other_beside_it(tmp_path: Path, beside: tuple[str, ...], said: str) -> None:
    with pytest.raises(PassError, match=said) as caught:
        run(tmp_path, quantized(tmp_path / "q.onnx"), beside=beside)
    assert "leave `beside` out" in str(caught.value.problems[0].fix)
