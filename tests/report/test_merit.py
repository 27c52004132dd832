"""Whose merit a speedup is: told from the figures of one run, with no more than they say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import example_report
from tried_example import LOOKS, STATIC, tried, tried_report

from mlopt.report import merit
from mlopt.results.figures import Speedup
from mlopt.results.report import Report
from mlopt.results.roles import FASTEST


def passes(median: float, width: float = 0.02, **changes: Any) -> Report:
    """Return the report where the final model is so many times as fast as the fastest source."""
    report = tried_report()
    ends = round(median * (1 - width), 4), round(median * (1 + width), 4)
    found = report.speedups[FASTEST].model_copy(update={"median": median, "ci95": ends})
    return tried_report(speedups={"onnx_fp32": report.speedup, FASTEST: found}, **changes)


def test_a_report_without_a_choice_tells_nothing() -> None:
    assert merit.sentence(example_report()) is None


def test_the_runtime_and_the_passes_have_their_share() -> None:
    assert merit.sentence(tried_report()) == (
        "Of that, the runtime alone (openvino bf16, static shapes, with the source unchanged) gives "
        "2.45x (2.38x to 2.51x), and the passes give 1.19x (1.17x to 1.22x)."
    )  # fmt: skip


def test_what_the_passes_add_within_the_noise_is_nothing() -> None:
    told = merit.sentence(passes(1.01)) or ""
    assert "the passes add nothing measurable to that (1.01x (0.99x to 1.03x))" in told
    assert "the passes give" not in told


def test_what_the_passes_cost_is_said() -> None:
    assert "what is shipped is only 0.90x (0.88x to 0.92x) as fast as that" in (merit.sentence(passes(0.9)) or "")


def test_another_runtime_than_that_of_the_fastest_source_is_named() -> None:
    final = tried_report().final.model_copy(update={"runtime": "onnxruntime", "options": {"threads": 2}})
    told = merit.sentence(passes(1.2, final=final)) or ""
    assert told.startswith("The unchanged source in openvino bf16, static shapes is 2.43x")
    assert "what is shipped, in onnxruntime, is 1.20x" in told


def test_the_source_itself_is_said_to_be_changed_by_no_pass() -> None:
    looks = tuple(
        replace(look, why_not=None if look.model == "source" and look.options == STATIC else "slower") for look in LOOKS
    )
    fastest = tried_report().references[FASTEST]
    same = Speedup(median=1.0, ci95=(1.0, 1.0), vs=FASTEST, noise_floor=0.02)
    report = tried_report()
    changes: dict[str, Any] = {
        "final": fastest.model_copy(update={"name": "final"}), "speedups": {"onnx_fp32": report.speedup, FASTEST: same},
    }  # fmt: skip
    expected = (
        "The fastest valid deployable is the source itself, in openvino bf16, static shapes: no pass changed the model"
    )
    for tries in (tried(looks), ()):
        told = merit.sentence(tried_report(tried=tries, **changes)) or ""
        assert told == f"{expected}, so all of its speed is the runtime's merit."
    slow = report.speedup.model_copy(update={"median": 1.01, "ci95": (0.98, 1.04)})
    assert merit.sentence(tried_report(tried=tried(looks), **changes | {"speedup": slow})) == f"{expected}."
    assert "The best valid" in (merit.sentence(tried_report(objective="size", **changes)) or "")


def test_the_baseline_as_it_is_has_its_own_headline() -> None:
    base = tried_report().baseline
    report = tried_report(final=base.model_copy(update={"name": "final"}), tried=tried()[:1])
    shipped = report.tried[0].model_copy(update={"why_not": None})
    assert merit.sentence(report.model_copy(update={"tried": (shipped,)})) is None


def test_that_no_other_runtime_is_faster_is_said_where_others_were_tried() -> None:
    report = tried_report()
    alone = {"references": {"onnx_fp32": report.baseline}, "speedups": {"onnx_fp32": report.speedup}}
    said = "No runtime that was tried runs the unchanged source faster than onnx_fp32."
    assert merit.sentence(tried_report(**alone)) == said
    one = tuple(each for each in report.tried if each.runtime == "onnxruntime")
    assert merit.sentence(tried_report(**alone, tried=one)) is None


POSITIVE = st.floats(0.01, 100)


@given(whole=POSITIVE, passes_=POSITIVE, widths=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)))
def test_the_shares_multiply_to_the_whole_and_the_interval_holds_the_share(
    whole: float, passes_: float, widths: tuple[float, float]
) -> None:
    both = [
        Speedup(median=value, ci95=(value * (1 - width), value * (1 + width)), vs=vs, noise_floor=0.0)
        for value, width, vs in zip((whole, passes_), widths, ("onnx_fp32", FASTEST), strict=True)
    ]
    found = merit.by_runtime(tried_report(speedup=both[0], speedups={"onnx_fp32": both[0], FASTEST: both[1]}))
    assert found is not None
    assert math.isclose(found[0] * passes_, whole, rel_tol=1e-9)
    assert found[1][0] <= found[0] * (1 + 1e-12)
    assert found[1][1] >= found[0] * (1 - 1e-12)


@pytest.mark.parametrize("median", [0.0, -1.0])
def test_a_ratio_that_a_stranger_made_absurd_has_no_share(median: float) -> None:
    absurd = passes(median)
    assert merit.by_runtime(absurd) is None
    assert "as fast as that" in (merit.sentence(absurd) or "")
