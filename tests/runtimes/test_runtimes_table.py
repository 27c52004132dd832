"""Which runtime runs a model, with which options, and how long what a pass said of that holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.formats.model import ONNX, TORCH, Kind, Model
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions, Session
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import (  # fmt: skip
    deploy,
    deployed_after,
    elsewhere,
    open_session,
    other_runtime,
    runtime_named,
    runtimes_of,
    that_checks_sizes,
)
from mlopt.runtimes.torch import TorchOptions

COMMON = RuntimeOptions(threads=2)


class OtherOptions(RuntimeOptions):
    precise: bool = False


@contextmanager
def refuse(model: Model, options: OtherOptions) -> Iterator[Session]:
    raise ValueError("seven  is\nno layer")
    yield


OTHER = Runtime("other", frozenset({ONNX, Kind("odd")}), OtherOptions, refuse, errors=lambda: (ValueError,))


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third runtime, which another package brings; it runs ONNX, too."""
    every = {**{each.name: each for each in runtimes.BUILTIN}, "other": OTHER}
    monkeypatch.setattr(runtimes, "table", lambda: every)


def model(kind: Kind = ONNX, name: str = "m") -> Model:
    return Model(kind, Path(name), name.ljust(64, "0"), (), (), ())


def test_a_kind_is_run_by_the_first_runtime_that_takes_it() -> None:
    assert deploy(model(), COMMON) == Deployable(model(), "onnxruntime", OnnxRuntimeOptions(threads=2))
    assert deploy(model(TORCH), COMMON) == Deployable(model(TORCH), "torch", TorchOptions(threads=2))
    assert deploy(model(TORCH), COMMON, ("onnxruntime",)).runtime == "torch"  # the source of a chain that ends in ONNX


@pytest.mark.usefixtures("other")
def test_what_the_target_names_goes_first() -> None:
    assert deploy(model(), COMMON, ("other",)) == Deployable(model(), "other", OtherOptions(threads=2))
    assert [each.name for each in runtimes_of(ONNX, ("torch", "other"))] == ["other", "onnxruntime", "openvino"]
    assert deploy(model(), RuntimeOptions(threads=2, device="cuda"), ("other",)).runtime == "onnxruntime"


@pytest.mark.usefixtures("other")
def test_one_that_is_not_installed_goes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(OTHER, packages=("mlopt-is-not-installed",))
    monkeypatch.setattr(runtimes, "table", lambda: {**{each.name: each for each in runtimes.BUILTIN}, "other": missing})
    assert deploy(model(), COMMON, ("other",)).runtime == "onnxruntime"
    assert (missing.missing, missing.install) == (("mlopt-is-not-installed",), "pip install mlopt-is-not-installed")


@pytest.mark.parametrize("name", ["nobody", ""])
def test_a_runtime_that_nobody_brings_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(MissingPackage, match="onnxruntime, torch") as caught:
        runtime_named(name, "nobody-rt 2.0")
    assert "nobody-rt 2.0" in str(caught.value)


def test_a_kind_that_nobody_runs_is_told() -> None:
    with pytest.raises(ModelError, match="no runtime runs models of this kind"):
        deploy(model(Kind("odd")), COMMON)


def test_what_a_pass_said_holds_while_its_runtime_takes_the_kind() -> None:
    start = deploy(model(), COMMON)
    basic = OnnxRuntimeOptions(threads=1, graph_optimization="basic")
    said = deployed_after(start, model(), COMMON, options=basic)
    assert said == Deployable(model(), "onnxruntime", basic)
    later = model(name="later")
    assert deployed_after(said, later, COMMON) == Deployable(later, "onnxruntime", basic)
    assert deployed_after(said, model(TORCH), COMMON) == deploy(model(TORCH), COMMON)
    assert deployed_after(start, later, COMMON) == deploy(later, COMMON)


@pytest.mark.usefixtures("other")
def test_a_pass_may_say_another_runtime() -> None:
    start = deploy(model(), COMMON)
    assert deployed_after(start, model(), COMMON, runtime="other").options == OtherOptions(threads=2)
    precise = OtherOptions(threads=1, precise=True)
    said = deployed_after(start, model(), COMMON, runtime="other", options=precise)
    assert said == Deployable(model(), "other", precise)
    assert deployed_after(said, model(name="b"), COMMON, runtime="other").options == precise
    with pytest.raises(ModelError, match="no options of the runtime 'onnxruntime'"):
        deployed_after(start, model(), COMMON, options=precise)
    with pytest.raises(ModelError, match="'other' does not run this kind"):
        deployed_after(start, model(TORCH), COMMON, runtime="other")


@pytest.mark.usefixtures("other")
def test_a_model_in_another_runtime_keeps_its_threads() -> None:
    basic = Deployable(model(), "onnxruntime", OnnxRuntimeOptions(threads=3, graph_optimization="basic"))
    assert other_runtime(basic, "onnxruntime") == basic
    assert other_runtime(basic, "other") == Deployable(model(), "other", OtherOptions(threads=3))
    with pytest.raises(ModelError, match="'torch' does not run this kind"):
        other_runtime(basic, "torch")
    with pytest.raises(ModelError, match="'other' does not run on this device"):
        other_runtime(deploy(model(), RuntimeOptions(threads=1, device="cuda")), "other")


def test_a_runtime_that_is_not_installed_takes_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(OTHER, packages=("mlopt-is-not-installed",))
    monkeypatch.setattr(runtimes, "table", lambda: {"other": missing})
    with pytest.raises(MissingPackage, match="mlopt-is-not-installed is not installed"):
        other_runtime(deploy(model(), COMMON), "other")


def test_samples_are_tried_where_those_that_do_not_fit_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    lax = replace(OTHER, checks_sizes=False)
    monkeypatch.setattr(runtimes, "table", lambda: {**{each.name: each for each in runtimes.BUILTIN}, "other": lax})
    alone = Deployable(model(Kind("odd")), "other", OtherOptions(threads=2))
    assert that_checks_sizes(replace(alone, model=model())) == deploy(model(), COMMON)
    assert that_checks_sizes(alone) == alone
    basic = Deployable(model(), "onnxruntime", OnnxRuntimeOptions(threads=3, graph_optimization="basic"))
    assert that_checks_sizes(basic) == basic


@pytest.mark.usefixtures("other")
def test_what_the_library_raises_is_told_in_a_line() -> None:
    with (
        pytest.raises(ModelError, match="other refuses the model") as caught,
        open_session(deploy(model(), COMMON, ("other",))),
    ):
        pytest.fail("it was opened")
    assert caught.value.problems[0].got == "ValueError: seven is no layer"


@pytest.mark.parametrize("config", [ConfigDict(extra="allow", frozen=True), ConfigDict(extra="forbid", frozen=False)])
def test_options_that_take_anything_are_refused_when_the_runtime_is_made(config: ConfigDict) -> None:
    class Open(RuntimeOptions):
        model_config = config

    with pytest.raises(TypeError, match="must be frozen and forbid extra keys"):
        Runtime("open", frozenset({ONNX}), Open, refuse)


def test_options_of_earlier_versions_are_read() -> None:
    once: dict[str, Any] = {"threads": 2, "device": "cpu", "graph_optimization": "all", "config_entries": {}}
    assert OnnxRuntimeOptions.model_validate(once, strict=True) == OnnxRuntimeOptions(threads=2)


@pytest.mark.usefixtures("other")
def test_what_one_runtime_refuses_may_be_run_elsewhere() -> None:
    refused = deploy(model(), COMMON, ("other",))
    assert next(elsewhere(refused)) == "onnxruntime"
    assert "onnxruntime" not in elsewhere(deploy(model(), COMMON))
    assert list(elsewhere(deploy(model(TORCH), COMMON))) == []
    on_gpu = Deployable(model(), "other", OtherOptions(threads=2, device="cuda"))
    assert set(elsewhere(on_gpu)) <= {"onnxruntime"}
