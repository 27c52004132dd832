"""Engines as a runtime: which engine and profile are taken, and what is said where none can be. None runs here."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from tensorrt_graphs import needed, product

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.hardware import Gpu, detect
from mlopt.core.packages import version
from mlopt.formats.tensorrt import FOLDER, Engine, EngineSet, Precision, Range, Shapes, open_engines, write
from mlopt.runtimes import tensorrt, tensorrt_layers
from mlopt.runtimes.tensorrt import RUNTIME, TensorRtOptions, choices, engine_for, profile_for, sizes_taken

PLAIN = TensorRtOptions(threads=1, device="cuda")
GPU = Gpu(name="a GPU", compute_capability="8.9", memory_bytes=8 << 30, driver="13.0")
NAMES = json.loads((Path(__file__).parents[1] / "goldens" / "tensorrt_names.json").read_text(encoding="utf-8"))
HOLDS = {"runtime": "Runtime", "engine": "ICudaEngine", "_engine": "ICudaEngine", "context": "IExecutionContext",
         "_context": "IExecutionContext", "trt": "", "_trt": ""}  # fmt: skip
OWN = {"digest", "file", "target", "precision", "shapes", "source"}
"""What an engine in the artifact has, which the code calls an engine as well."""


def engines(*targets: str, **settings: Any) -> EngineSet:
    every = tuple(
        Engine(file=f"engines/{each}.engine", target=each, digest="0" * 64, size_bytes=1, seconds=0) for each in targets
    )
    return EngineSet(backend="tensorrt_rtx", version="1.7", source="0" * 64, profiles=(), settings=settings,
                     reproducible=True, measured=False, engines=every)  # fmt: skip


def test_the_engine_for_this_gpu_is_taken() -> None:
    assert engine_for(engines("sm86", "sm89"), GPU, "1.7", "", PLAIN).target == "sm89"


@pytest.mark.parametrize(("found", "installed", "said"), [
    (engines("sm86"), "1.7", "no such engine for this GPU"),
    (engines("sm89"), "1.8", "another version of the library"),
    (engines("sm89"), None, "another version of the library"),
    (engines().model_copy(update={"skipped": "not installed"}), "1.7", "there are no engines: not installed"),
])  # fmt: skip
def test_one_that_does_not_match_is_refused_with_what_to_do(found: EngineSet, installed: str | None, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        engine_for(found, GPU, installed, "model.onnx", PLAIN)
    assert "onnxruntime" in str(caught.value.problems[0].fix)


def test_what_was_built_to_run_elsewhere_does() -> None:
    assert engine_for(engines("sm86", hardware_compatible="ampere_plus"), GPU, "1.7", "", PLAIN).target == "sm86"
    assert engine_for(engines("sm89", version_compatible=True), GPU, "1.8", "", PLAIN).target == "sm89"


def test_without_a_gpu_nothing_is_read() -> None:
    with pytest.raises(MissingPackage, match="no GPU answers"):
        engine_for(engines("sm89"), None, "1.7", "", PLAIN)


PROFILES = ({"x": Range(min=(1, 8), opt=(1, 8), max=(2, 8))}, {"x": Range(min=(4, 8), opt=(8, 8), max=(8, 8))})


@pytest.mark.parametrize(("shape", "number"), [((1, 8), 0), ((2, 8), 0), ((4, 8), 1), ((8, 8), 1)])
def test_the_first_profile_that_takes_the_sizes_is_used(shape: tuple[int, ...], number: int) -> None:
    assert profile_for(PROFILES, {"x": shape, "fixed": (3,)}, "") == number


@pytest.mark.parametrize("shape", [(3, 8), (9, 8), (1, 7), (1,)])
def test_sizes_that_no_profile_takes_are_told_with_those_that_one_does(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="not built for these sizes") as caught:
        profile_for(PROFILES, {"x": shape}, "")
    assert caught.value.problems[0].expected == "x [1, 8] to [2, 8] or x [4, 8] to [8, 8]"


def test_fixed_sizes_have_no_profile() -> None:
    assert profile_for((), {"x": (1, 8)}, "") == 0


VARIANTS = tuple(
    Engine(file=f"engines/sm89_{precision}_{shapes}.engine", target="sm89", precision=precision, shapes=shapes,
           source=("0" if precision == "int8" else "1") * 64, digest="0" * 64, size_bytes=1, seconds=0)
    for precision in get_args(Precision) for shapes in get_args(Shapes)
)  # fmt: skip


@pytest.mark.parametrize(("options", "name"), [
    ({}, "int8_dynamic"), ({"shapes": "static"}, "int8_static"), ({"precision": "fp16"}, "fp16_dynamic"),
    ({"precision": "fp32", "shapes": "static"}, "fp32_static"), ({"precision": "int8"}, "int8_dynamic"),
])  # fmt: skip
def test_of_several_the_one_is_taken_that_options_ask_for(options: dict[str, Any], name: str) -> None:
    every = engines().model_copy(update={"engines": VARIANTS})
    found = engine_for(every, GPU, "1.7", "", TensorRtOptions(threads=1, **options))
    assert found.file == f"engines/sm89_{name}.engine"
    only = every.model_copy(update={"engines": tuple(each for each in VARIANTS if each != found)})
    if options.get("shapes"):
        with pytest.raises(ModelError, match="no such engine"):
            engine_for(only, GPU, "1.7", "", TensorRtOptions(threads=1, **options))


def test_a_static_engine_takes_the_sizes_that_the_first_profile_is_best_at() -> None:
    every = engines().model_copy(
        update={"engines": VARIANTS, "profiles": ({"x": Range(min=(1,), opt=(4,), max=(8,))},)}
    )
    static, dynamic = (next(each for each in VARIANTS if each.shapes == shapes) for shapes in ("static", "dynamic"))
    assert sizes_taken(every, static) == ({"x": Range(min=(4,), opt=(4,), max=(4,))},)
    assert sizes_taken(every, dynamic) == every.profiles


def test_graphs_and_static_engines_are_tried_where_all_feeds_have_one_size() -> None:
    assert {each.cuda_graph for each in choices(PLAIN, one_size=False)} == {False}
    ways = choices(PLAIN, one_size=True)
    assert ways[0] == PLAIN
    assert len(set(ways)) == len(ways) == 3 * len(choices(PLAIN, one_size=False))


def test_each_engine_is_tried_once(tmp_path: Path) -> None:
    model = product(tmp_path / "model.onnx")
    (tmp_path / FOLDER).mkdir()
    every = tuple(
        each.model_copy(update={"source": model.digest}) if each.precision == "int8" else each for each in VARIANTS
    )
    write(engines().model_copy(update={"source": model.digest, "engines": every}), tmp_path)
    able = [each for each in choices(PLAIN, one_size=True) if RUNTIME.has(model, each)]
    assert {each.precision for each in able} == {None, "fp32", "fp16"}
    assert {RUNTIME.exactly(each).precision for each in able} == {None}


def test_the_code_uses_what_each_version_has() -> None:
    wanted = set()
    files = [Path(module.__file__) for module in (tensorrt, tensorrt_layers)]
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Attribute) and (name := _name(node.value)) in HOLDS and node.attr not in OWN:
            wanted.add((HOLDS[name], node.attr))
    assert len(wanted) > 12
    for library, names in NAMES.items():
        assert [(of, name) for of, name in wanted if name not in names[of]] == [], library


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def artifact(folder: Path) -> Path:
    """A model with an engine that nobody can read."""
    model = product(folder / "model.onnx")
    (folder / FOLDER).mkdir()
    write(engines().model_copy(update={"source": model.digest}), folder)
    return model.path


@pytest.mark.skipif(detect().gpu is not None, reason="there is a GPU")
def test_it_is_no_runtime_of_a_machine_without_a_gpu(tmp_path: Path) -> None:
    model = open_engines(artifact(tmp_path))
    with pytest.raises(MissingPackage, match="no GPU answers"), RUNTIME.open(model, TensorRtOptions(threads=1)):
        pass


LEAN = version("tensorrt-lean-cu13-bindings")
BARE = "import tensorrt; tensorrt.Runtime(tensorrt.Logger()).deserialize_cuda_engine(bytes(100))"
RECIPE = """\
apiVersion: mlopt/v1
name: tiny
model: {source: ./model.onnx}
data: {evaluation: {source: ./x.npz}}
metric: {name: fidelity}
passes:
  - tensorrt: {backend: tensorrt}
gates:
  - {metric: fidelity.cosine, min: 0.99}
"""


@pytest.mark.rtx
@needed
@pytest.mark.skipif(LEAN is None, reason="tensorrt-lean-cu13 is not installed")
@pytest.mark.skipif(detect().gpu is not None, reason="there is a GPU")
def test_a_library_that_ends_its_process_without_a_driver_does_not_end_this_one(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "tensorrt.py").write_text("from tensorrt_lean_bindings import *\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    bare = subprocess.run([sys.executable, "-c", BARE], env=environment, capture_output=True, check=False)
    assert bare.returncode == -signal.SIGSEGV
    product(tmp_path / "model.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((4, 8), np.float32))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-m", "mlopt", "optimize", "tiny.yaml"], env=environment, cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no GPU answers" in done.stderr
    assert "backend: tensorrt_rtx" in done.stderr
