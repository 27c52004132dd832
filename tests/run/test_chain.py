"""What the chain of steps says before any work: an optional step on which all that follows depends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from campaign_parts import recipe
from pass_runs import PLAIN_X86
from toy_chain import BOTH, PASSES, TOY, third_kind
from toy_chain import steps as toys

from mlopt.core.errors import Problem
from mlopt.core.hardware import Gpu, Hardware
from mlopt.core.target import Target
from mlopt.data.reading import DataSource
from mlopt.formats.model import ONNX, TORCH, Kind
from mlopt.passes.base import Pass, PassConfig, Requires
from mlopt.passes.table import table
from mlopt.recipe.schema import Data, Recipe, Step
from mlopt.run.chain import advice, check, misfits, ways
from mlopt.runtimes import openvino
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Runtime, RuntimeOptions

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
    wanted = recipe().model_copy(update={"passes": made, "target": Target(runtime="onnxruntime")})
    problems = misfits(kind, wanted, passes)
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


def among_three(chain: str, kind: Kind = TORCH, target: Target = BOTH) -> list[tuple[str, str]]:
    """Return place and problem of a chain of toys of three kinds, whose results may be ONNX models or toys."""
    with third_kind():
        wanted = recipe().model_copy(update={"passes": tuple(toys(chain)), "target": target})
        return [(str(problem.where), problem.what) for problem in misfits(kind, wanted, PASSES)]


def needed(number: int, name: str, label: str) -> list[tuple[str, str]]:
    return [(f"passes.{number}.{name}", f"'{name}' cannot be optional: if it fails, {label} model is left")]


def test_each_of_several_optional_steps_leaves_a_kind_that_must_fit_what_follows() -> None:
    """From PyTorch over ONNX to a toy: what fits two of the three kinds does not fit the third."""
    assert among_three("export? lower? any") == needed(0, "export", "a PyTorch")
    assert among_three("export? lower? lift") == needed(0, "export", "a PyTorch")
    assert among_three("export lower? lift") == needed(1, "lower", "an ONNX")
    assert among_three("export? compile? any") == needed(0, "export", "a PyTorch")
    assert among_three("export compile? any") == []
    assert among_three("export? compile? compile") == []
    assert among_three("export? compile? compile any lift") == []


def test_a_required_step_clears_only_the_ways_that_it_is_there_for() -> None:
    assert among_three("export? compile? export") == [("passes.2.export", "'export' does not fit here")]
    assert among_three("export? either? compile? compile round") == []
    assert among_three("export? export lower? round") == needed(2, "lower", "an ONNX")
    assert among_three("compile? compile lift? any") == []


def test_the_result_must_run_whichever_optional_steps_are_left_out() -> None:
    assert among_three("export? compile?") == needed(0, "export", "a PyTorch")
    assert among_three("export? compile?", target=Target(runtime="auto")) == []  # PyTorch runs there, too
    assert among_three("export lower?") == []
    assert among_three("export lower?", target=Target(runtime="toys")) == needed(1, "lower", "an ONNX")
    assert among_three("any? compile", ONNX, Target(runtime="toys")) == []
    assert among_three("lower lift?", ONNX, Target(runtime="onnxruntime")) == needed(1, "lift", "a toy")
    assert among_three("round? round", TOY) == []
    assert among_three("round?", TOY, Target(runtime="onnxruntime")) == [
        ("passes", "the passes end in a model that onnxruntime does not run")
    ]


def test_a_pass_that_trains_needs_what_to_train_on() -> None:
    trains = replace(EITHER, name="trains", requires=Requires(training=True))
    steps = (Step(name="trains", config=PassConfig()),)
    wanted = recipe().model_copy(update={"passes": steps})
    hardware = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)
    (problem,) = check(wanted, {"trains": trains}, hardware)
    assert problem == Problem("'trains' needs training data", "passes.0.trains", fix="add data.train to the recipe")
    given = wanted.model_copy(update={"data": Data(train=DataSource(source="train.npz"))})
    assert check(given, {"trains": trains}, hardware) == []


def test_what_auto_would_try_if_it_were_installed_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(openvino.RUNTIME, packages=("mlopt-is-not-installed",))
    monkeypatch.setattr(runtimes, "BUILTIN", (*(each for each in runtimes.BUILTIN if each.name != "openvino"), gone))
    (told,) = advice(in_runtimes("auto"), table())
    assert told.startswith("openvino is not installed and may be faster here")
    assert advice(in_runtimes("onnxruntime"), table()) == []


@pytest.mark.parametrize(
    ("compiler", "device", "said"),
    [
        ("g++", "cpu", None),
        (None, "cpu", "torch.compile builds C++, and there is no compiler"),
        ("g++", "cuda", "torch_compile is measured on the CPU only"),
    ],
)
def test_a_compiled_reference_takes_a_compiler(
    monkeypatch: pytest.MonkeyPatch, compiler: str | None, device: str, said: str | None
) -> None:
    monkeypatch.setattr("mlopt.runtimes.torch_compile.shutil.which", lambda _: compiler)
    gpu = Gpu(name="a GPU", compute_capability="9.0", driver="550", memory_bytes=1 << 30)
    hardware = Hardware(cpu="test", architecture="x86_64", isa=(), cores=2, memory_bytes=1, gpu=gpu)
    target = Target.model_validate({"device": device})
    asked = recipe().model_copy(update={"references": ("torch_compile",), "target": target})
    found = [problem for problem in check(asked, table(), hardware) if problem.where == "references.0"]
    assert [problem.what for problem in found] == ([said] if said else [])
    assert all(problem.fix for problem in found)


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime besides ONNX Runtime that runs ONNX, too."""
    other = Runtime("other", frozenset({ONNX}), RuntimeOptions, pytest.fail)
    every = {**{each.name: each for each in runtimes.BUILTIN}, "other": other}
    monkeypatch.setattr(runtimes, "table", lambda: every)
    monkeypatch.setattr("mlopt.run.chain.runtime_table", lambda: every)


def in_runtimes(runtime: str | tuple[str, ...], *steps: Step) -> Recipe:
    changes = {"passes": steps, "target": Target(runtime=runtime, threads=1)}
    return recipe().model_copy(update=changes)


def step(name: str, **config: Any) -> Step:
    return Step(name=name, config=table()[name].config(**config))


HARDWARE = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)


@pytest.mark.usefixtures("another")
def test_operators_of_one_runtime_are_not_for_another() -> None:
    (problem,) = check(in_runtimes("other", step("simplify"), step("fuse")), table(), HARDWARE)
    assert problem.where == "passes.1.fuse"
    assert problem.what == "'fuse' writes operators that only onnxruntime is sure to read, and other runs the result"
    assert problem.fix == "fuse: {level: basic}, remove 'fuse', or target: {runtime: onnxruntime}"


@pytest.mark.usefixtures("another")
def test_an_optional_step_for_another_runtime_is_left_out_when_its_turn_comes() -> None:
    fuse = step("fuse").model_copy(update={"optional": True})
    assert check(in_runtimes("other", step("simplify"), fuse), table(), HARDWARE) == []


@pytest.mark.usefixtures("another")
def test_a_runtime_of_a_list_that_takes_no_such_model_is_not_tried_and_that_is_told() -> None:
    assert advice(in_runtimes(("onnxruntime", "other", "torch"), step("simplify")), table()) == [
        "torch is not tried: the passes end in a model that torch does not run"
    ]
    assert advice(in_runtimes(("onnxruntime", "other"), step("simplify")), table()) == []


@pytest.mark.usefixtures("another")
@pytest.mark.parametrize("runtime", ["onnxruntime", "auto", ("onnxruntime", "other"), ("torch", "onnxruntime")])
def test_they_are_for_their_own(runtime: str | tuple[str, ...]) -> None:
    assert check(in_runtimes(runtime, step("fuse")), table(), HARDWARE) == []
    assert check(in_runtimes("other", step("fuse", level="basic")), table(), HARDWARE) == []


@pytest.mark.usefixtures("another")
@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("auto", ("onnxruntime", "other")), ("other", ("other",)), ("openvino", ()), (("torch", "other"), ("other",)),
        (("other", "onnxruntime"), ("onnxruntime", "other")), ("nobody", ()),
    ],
)  # fmt: skip
def test_the_chain_is_run_for_each_runtime_that_runs_what_it_comes_to(
    runtime: str | tuple[str, ...], expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runtime, "missing", property(lambda one: ("openvino",) if one.name == "openvino" else ()))
    wanted = in_runtimes(runtime, step("export"), step("quantize", mode="dynamic"))
    assert ways(TORCH, wanted, table()) == expected
    assert ways(TORCH, in_runtimes(runtime), table()) == (("torch",) if "torch" in runtime or runtime == "auto" else ())


def on_a_file(*steps: Step, source: str = "./large.onnx") -> list[Problem]:
    passes = tuple(steps)
    plain = recipe()
    wanted = plain.model_copy(update={"passes": passes, "model": plain.model.model_copy(update={"source": source})})
    return check(wanted, table(), PLAIN_X86)


def configured(name: str, optional: bool = False, **config: Any) -> Step:
    return Step(name=name, config=table()[name].config(**config), optional=optional)


@pytest.mark.parametrize("optional", [False, True])
def test_what_changes_pytorch_models_says_what_would_help_on_a_file_and_nothing_else(optional: bool) -> None:
    (problem,) = on_a_file(configured("simplify"), configured("prune", optional, macs=0.5))
    assert problem == Problem(
        "'prune' changes PyTorch models, and the source is a file of another kind", "passes.1.prune",
        "./large.onnx, an ONNX model", "a PyTorch model",
        "model: {source: ./file.py:build}, Python that builds the model, and put `export` after 'prune'; "
        "or remove 'prune'",
    )  # fmt: skip


def test_it_is_not_told_to_export_twice() -> None:
    (problem,) = on_a_file(configured("prune", macs=0.5), configured("distill"), configured("export"))
    assert problem.fix == "model: {source: ./file.py:build}, Python that builds the model; or remove 'prune'"
    (problem,) = on_a_file(configured("neural_compressor"))
    assert problem.fix == (
        "model: {source: ./file.py:build}, Python that builds the model; or remove 'neural_compressor'"
    )


def test_a_file_may_teach() -> None:
    (problem,) = on_a_file(configured("distill", student="./small.py:build"), configured("export"))
    assert problem.fix == (
        "let the file teach: model: {source: ./small.py:build}, and distill: {teacher: ./large.onnx} without student; "
        "or remove 'distill'"
    )
    (problem,) = on_a_file(configured("distill"), configured("export"))
    assert str(problem.fix).startswith("let the file teach: model: {source: ./file.py:build}, Python that builds the")


def test_an_export_of_a_file_is_only_too_much() -> None:
    (problem,) = on_a_file(configured("export"), configured("simplify"))
    assert (problem.what, problem.fix) == ("'export' does not fit here", "remove 'export'")


def test_a_step_that_comes_too_late_belongs_before_the_one_that_left_its_kind() -> None:
    assert found("export", "simplify", "distill") == [
        ("passes.2.distill", "remove 'distill', or put it before 'export'")
    ]
