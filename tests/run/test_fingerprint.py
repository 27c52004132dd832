"""What the result of a step depends on, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mlopt.core.hardware import Hardware
from mlopt.core.target import Objective, Target
from mlopt.passes.base import PassConfig, Requires
from mlopt.passes.table import table
from mlopt.recipe.schema import Step
from mlopt.results.budget import Budget
from mlopt.run import fingerprint
from mlopt.run.fingerprint import Setting, key_of


def setting(target: Target | None = None, **more: Any) -> Setting:
    hardware = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)
    given: dict[str, Any] = {"passes": table()}
    return Setting(
        name="net", target=target or Target(), objective=Objective.LATENCY, hardware=hardware, inputs=(), outputs=(),
        budget=Budget(), samples_digest="digest", **(given | more),
    )  # fmt: skip


def key(name: str, target: Target) -> str:
    step = Step(name=name, config=table()[name].config())
    return key_of("model", 0, step, setting(target)).fingerprint


@pytest.mark.parametrize("name", ["simplify", "fuse", "export", "bf16"])
def test_what_does_not_follow_the_runtime_is_made_once_for_all(name: str) -> None:
    assert len({key(name, Target(runtime=runtime)) for runtime in ("auto", "onnxruntime", "openvino")}) == 1
    assert key(name, Target(batch_size=2)) != key(name, Target())


@pytest.mark.parametrize("name", ["quantize", "tune_session"])
def test_what_measures_is_made_for_each_runtime(name: str) -> None:
    assert len({key(name, Target(runtime=runtime)) for runtime in ("onnxruntime", "openvino")}) == 2


def test_what_a_pass_trains_on_belongs_to_its_fingerprint_and_to_no_other() -> None:
    trains = replace(table()["simplify"], name="trains", requires=Requires(training=True), config=PassConfig)
    known = setting(passes={**table(), "trains": trains})

    def keys(name: str) -> set[str]:
        step = Step(name=name, config=known.passes[name].config())
        settings = (replace(known, train_digest=digest) for digest in (None, "one", "other"))
        return {key_of("model", 0, step, each).fingerprint for each in settings}

    assert [len(keys(name)) for name in ("trains", "simplify", "quantize")] == [3, 1, 1]


def test_what_is_measured_depends_on_the_versions_of_what_runs_it_and_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = setting()

    def keys(name: str, target: Target, deployed: Mapping[str, Any] | None = None) -> set[str]:
        step, found = Step(name=name, config=known.passes[name].config()), set()
        for newer in ("onnxruntime", "openvino", "none"):
            monkeypatch.setattr(fingerprint, "versions", lambda names, newer=newer: {n: str(n == newer) for n in names})
            found.add(key_of("model", 0, step, replace(known, target=target), deployed).fingerprint)
        return found

    auto, named = Target(runtime="auto"), Target(runtime="openvino")
    assert [len(keys("tune_session", target)) for target in (Target(runtime="onnxruntime"), named, auto)] == [2, 2, 3]
    chosen = {"runtime": "openvino", "options": {"threads": 1}}
    assert len(keys("tune_session", Target(runtime="onnxruntime"), chosen)) == 2
    assert len(keys("bf16", named)) == len(keys("fuse", named)) == 2  # by what they require


def test_what_a_pass_can_do_without_counts_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(there: str | None) -> str:
        monkeypatch.setattr(fingerprint, "versions", lambda names: {n: "1" for n in names if n != "nncf" or there})
        return key("quantize", Target(runtime="onnxruntime"))

    assert keys("1") != keys(None)


@pytest.mark.parametrize(("name", "depends"), [("quantize", True), ("simplify", False)])
def test_what_measures_depends_on_the_runtimes_that_it_may_fall_behind(name: str, depends: bool) -> None:
    step, alone = Step(name=name, config=table()[name].config()), setting(Target(runtime="onnxruntime"))
    keys = {key_of("model", 0, step, each).fingerprint for each in (alone, replace(alone, beside=("openvino",)))}
    assert len(keys) == 1 + depends
