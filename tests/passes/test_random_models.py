"""Every pass on random models: right on inputs that it has not seen, and blind to what things are called.

``MLOPT_EXAMPLES=5000`` tries so many for each pass and mode.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_runs import run_pass
from random_models import feeds, hostile_names, random_model, relative_error, rename, run

from mlopt.core.target import Objective, Target
from mlopt.passes import fp16, fuse, quantize, simplify
from mlopt.passes.base import Pass, PassResult

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

STATIC: dict[str, Any] = {"mode": "static"}
CASES: dict[str, tuple[Pass[Any], dict[str, Any], float]] = {
    "static": (quantize.PASS, STATIC, 0.3),
    "static, one scale per tensor": (quantize.PASS, {**STATIC, "per_channel": False, "calibration": "percentile"}, 0.3),
    "TensorRT": (quantize.PASS, {**STATIC, "placement": "tensorrt"}, 0.3),
    "dynamic": (quantize.PASS, {"mode": "dynamic"}, 0.15),
    "weights in 8 bits": (quantize.PASS, {"mode": "weight_only", "block_size": 16}, 0.1),
    "weights in 4 bits": (quantize.PASS, {"mode": "weight_only", "bits": 4, "block_size": 16, "symmetric": False}, 0.6),
    "fp16": (fp16.PASS, {}, 0.01),
    "simplify": (simplify.PASS, {}, 1e-4),
    "fuse": (fuse.PASS, {}, 1e-4),
}
"""Pass, configuration, and how large the error of an output may be beside the output: rounding, not what goes wrong."""
EXAMPLES = int(os.environ.get("MLOPT_EXAMPLES", "0"))
SEEDS = st.integers(0, 2**32)


def written(case: str, model: onnx.ModelProto, folder: Path) -> PassResult | None:
    """Run a pass on a model; None if it says that it does not apply."""
    pass_, config, _ = CASES[case]
    folder.mkdir()
    onnx.save(model, folder / "m.onnx")
    result = run_pass(
        pass_, folder / "m.onnx", config, folder, calibration=feeds(model, 24, seed=1), target=Target(threads=1),
        objective=Objective.SIZE if pass_ is fp16.PASS else Objective.LATENCY,
    )  # fmt: skip
    return result if isinstance(result, PassResult) else None


@pytest.mark.parametrize("case", CASES)
@given(seed=SEEDS)
@settings(max_examples=EXAMPLES or 18, deadline=None, derandomize=True, database=None)
def test_a_result_is_right_on_other_inputs(case: str, seed: int) -> None:
    model = random_model(Random(seed))
    with tempfile.TemporaryDirectory() as name:
        result = written(case, model, Path(name) / "run")
        if result is None:
            return
        after = onnx.load(result.path).graph
        for side in ("input", "output"):
            ports = [[value.name for value in getattr(graph, side)] for graph in (model.graph, after)]
            assert ports[0] == ports[1]
        inputs = feeds(model, 16, seed=2)
        computed = {output for node in model.graph.node for output in node.output}
        expected = run(Path(name) / "run" / "m.onnx", inputs)
        for optimized in (False, True):
            got = run(result.path, inputs, optimized=optimized)
            errors = {output: relative_error(expected[output], got[output]) for output in expected}
            allowed = {output: CASES[case][2] if output in computed else 0.0 for output in errors}
            far = {output: error for output, error in errors.items() if error > allowed[output]}
            assert not far


@pytest.mark.parametrize("case", CASES)
@given(seed=SEEDS)
@settings(max_examples=EXAMPLES or 8, deadline=None, derandomize=True, database=None)
def test_names_change_nothing(case: str, seed: int) -> None:
    plain = random_model(Random(seed), hostile=False)
    odd = onnx.ModelProto.FromString(plain.SerializeToString())
    rename(odd.graph, hostile_names(Random(seed), odd.graph))
    with tempfile.TemporaryDirectory() as name:
        results = [written(case, model, Path(name) / f"{number}") for number, model in enumerate((plain, odd))]
        assert [result is None for result in results] in ([True, True], [False, False])
        outputs = [
            run(result.path, feeds(model, 16, seed=2)).values()
            for result, model in zip(results, (plain, odd), strict=True)
            if result is not None
        ]
        for one, other in zip(*outputs, strict=True) if outputs else ():
            assert relative_error(one, other) < 1e-6
