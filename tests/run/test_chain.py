"""What the chain of steps says before any work: an optional step on which all that follows depends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from campaign_parts import recipe

from mlopt.core.errors import Problem
from mlopt.core.hardware import Hardware
from mlopt.data.reading import DataSource
from mlopt.formats.model import ONNX, TORCH, Kind
from mlopt.passes import table
from mlopt.passes.base import Pass, PassConfig, Requires
from mlopt.recipe.schema import Data, Step
from mlopt.run.chain import check, misfits

EITHER: Pass[Any] = Pass(
    name="either",
    version=1,
    summary="",
    accepts=frozenset({ONNX, TORCH}),
    produces=ONNX,
    config=PassConfig,
    run=pytest.fail,
)


def found(*steps: str, kind: Kind = TORCH) -> list[tuple[str, str]]:
    """Return place and fix of each problem; a step that ends in ``?`` is optional."""
    passes = {**table(), "either": EITHER}
    names = [(step.rstrip("?"), step.endswith("?")) for step in steps]
    made = tuple(Step(name=name, config=passes[name].config(), optional=optional) for name, optional in names)
    problems = misfits(kind, recipe().model_copy(update={"passes": made}), passes)
    return [(str(problem.where), str(problem.fix)) for problem in problems]


@pytest.mark.parametrize(
    "steps",
    [("export?",), ("export?", "simplify"), ("export?", "simplify?", "fuse?"), ("neural_compressor?", "fuse"),
     ("either?", "simplify"), ("export?", "either?")],
)  # fmt: skip
def test_a_step_that_alone_makes_onnx_cannot_be_optional(steps: tuple[str, ...]) -> None:
    name = steps[0].rstrip("?")
    instead = "" if name == "export" else ", or put a required `export` after it"
    assert found(*steps) == [(f"passes.0.{name}", f"leave `optional` out of '{name}'{instead}")]


@pytest.mark.parametrize(
    "steps",
    [("export",), ("export", "simplify?", "fuse?"), ("export?", "either"), ("either?", "either", "fuse?"),
     ("neural_compressor?", "export", "fuse"), ("either?", "export", "simplify")],
)  # fmt: skip
def test_steps_that_leave_onnx_in_any_case_fit(steps: tuple[str, ...]) -> None:
    assert found(*steps) == []


def test_steps_on_an_onnx_model_may_all_be_optional() -> None:
    assert found("simplify?", "either?", "fuse?", kind=ONNX) == []


def test_an_optional_export_stands_in_for_nothing() -> None:
    places = [place for place, _ in found("neural_compressor?", "export?", "fuse")]
    assert places == ["passes.0.neural_compressor"]


def test_a_pass_that_trains_needs_what_to_train_on() -> None:
    trains = replace(EITHER, name="trains", requires=Requires(training=True))
    steps = (Step(name="trains", config=PassConfig()),)
    wanted = recipe().model_copy(update={"passes": steps})
    hardware = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)
    (problem,) = check(wanted, {"trains": trains}, hardware)
    assert problem == Problem("'trains' needs training data", "passes.0.trains", fix="add data.train to the recipe")
    given = wanted.model_copy(update={"data": Data(train=DataSource(source="train.npz"))})
    assert check(given, {"trains": trains}, hardware) == []
