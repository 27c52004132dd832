"""What else was measured, and how a run comes to it."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example_report, example_search
from tried_example import LOOKS, tried, tried_report

from mlopt.report.settings import blamed, kept, key, settings
from mlopt.results.report import Report, StepRecord


def of(report: Report, told: str, runtime: str | None = None) -> Any:
    return next(
        one for one in settings(report)
        if one.told == told and (runtime is None or (one.tried is not None and one.tried.runtime == runtime))
    )  # fmt: skip


def with_steps(*names: str) -> tuple[StepRecord, ...]:
    """Steps of these names, the one called quantize as the only lossy one."""
    example = example_report().steps
    of_name = {step.name: step for step in example if step.status == "applied"}
    return tuple(of_name.get(name, example[1]).model_copy(update={"name": name}) for name in names)


def test_without_a_choice_they_are_the_steps_and_the_source() -> None:
    told = [one.told for one in settings(example_report())]
    assert told == [
        "the model after export (1)", "the model after simplify (2)", "the model after quantize (4), in its trial,",
        "the model after quantize (5)", "the source as it is (onnx_fp32)",
    ]  # fmt: skip
    assert settings(example_report(steps=())) == ()


def test_with_a_choice_they_are_what_was_tried_but_for_what_is_shipped() -> None:
    report = tried_report(steps=with_steps("simplify", "quantize", "fuse"))
    found = settings(report)
    assert [one.tried for one in found if one.tried is not None] != []
    assert len(found) == len(LOOKS) - 1
    assert of(report, "the model after quantize (2)", "openvino").objection.startswith("fidelity.cosine")
    assert of(report, "the model after quantize (2)", "onnxruntime").objection is None


def test_what_is_shipped_against_the_gates_is_no_other_setting() -> None:
    report = tried_report(steps=with_steps("simplify", "quantize", "fuse"))
    against = tuple(one.model_copy(update={"why_not": one.why_not or "plainly wrong"}) for one in report.tried)
    found = settings(report.model_copy(update={"tried": against}))
    assert len(found) == len(LOOKS) - 1
    shipped = (report.final.digest, report.final.options)
    assert all((one.tried.digest, one.tried.options) != shipped for one in found if one.tried)


def test_the_way_to_another_runtime_and_around_a_lossy_step() -> None:
    report = tried_report(steps=with_steps("simplify", "quantize", "fuse"), tried=tried())
    exact = of(report, "the model after simplify (1)", "onnxruntime")
    wanted = "add `--runtime onnxruntime --set passes.quantize.optional=true` to the command"
    assert exact.how["quality"] == wanted
    assert of(report, "the model after quantize (2)", "onnxruntime").how["quality"] == (
        "add `--runtime onnxruntime` to the command"
    )


def test_a_dropped_step_is_kept_by_saying_so_unless_another_lossy_one_comes_on_top() -> None:
    dropped = with_steps("quantize")[0].model_copy(update={"status": "dropped"})
    report = example_report(steps=(with_steps("simplify")[0], dropped))
    assert settings(report)[0].how["size"] == "add `--set passes.quantize.optional=false` to the command"
    assert dict(settings(example_report())[2].how) == {}


def test_a_step_that_its_name_does_not_tell_is_told_by_its_number() -> None:
    report = example_report(steps=with_steps("simplify", "quantize", "acme.prune", "quantize"))
    assert [key(report, number) for number in (1, 2, 3, 4)] == [
        "passes.simplify", "passes.1", "passes.2", "passes.3",
    ]  # fmt: skip


def test_who_is_to_blame() -> None:
    report = example_report()
    assert [number for number, _ in kept(report)] == [1, 2, 5, 6]
    assert blamed(report, "quality") == [5]
    assert blamed(report, "size") == [6]
    assert blamed(report, "size", after=6) == []
    assert blamed(report, "speed") == []


def test_a_mode_that_a_search_judged_and_did_not_choose_is_a_setting() -> None:
    search = example_search()
    search["front"][0]["mode"] = "dynamic"
    step = with_steps("quantize")[0].model_copy(update={"notes": {"search": search}})
    (found,) = [one for one in settings(example_report(steps=(step,))) if "mode" in one.told]
    assert found.told == "quantize in mode dynamic, as its search judged it,"
    assert found.objection == "agreement 0.9400 is below 0.95"
    assert found.quality == {"fidelity.cosine": 0.99871, "fidelity.sqnr_db": 26.4, "accuracy.value": 0.94}
    assert found.how["speed"] == "add `--set passes.quantize.mode=dynamic` to the command"


@pytest.mark.parametrize("name", ["after a (99)", "after (1)", "after x (1) (2, in y)", "x" * 500])
def test_a_form_of_a_name_that_says_nothing_has_no_way(name: str) -> None:
    odd = tried()[0].model_copy(update={"model": name})
    report = tried_report(tried=(odd,), steps=with_steps("simplify"))
    assert dict(next(one for one in settings(report) if one.tried).how) == {}
