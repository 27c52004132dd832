"""Operators before and after: the pairs, the rest of them, and their picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from report_example import example_report

from mlopt.report import operators
from mlopt.results.figures import OperatorTime
from mlopt.results.report import Report


def profiled(before: dict[str, float], after: dict[str, float]) -> Report:
    return example_report(
        operators={
            name: tuple(OperatorTime(op_type=kind, nodes=2, ms=ms) for kind, ms in one.items())
            for name, one in (("onnx_fp32", before), ("final", after))
        }
    )


def test_a_type_is_paired_with_itself_and_the_slowest_comes_first() -> None:
    pairs = operators.pairs(profiled({"Conv": 2.0, "Relu": 0.5}, {"Conv": 1.0, "QConv": 1.5}))
    assert [(one.label, operators.time(one.before), operators.time(one.after)) for one in pairs] == [
        ("Conv", "2.00 ms", "1.00 ms"),
        ("QConv", "", "1.50 ms"),
        ("Relu", "0.500 ms", ""),
    ]


def test_what_is_not_shown_is_added_up_and_nothing_is_lost() -> None:
    before = {f"Op{number}": 10.0 - number for number in range(10)}
    after = {f"Op{number}": 1.0 for number in range(7, 12)}
    pairs = operators.pairs(profiled(before, after), 3)
    assert [one.label for one in pairs] == ["Op0", "Op1", "Op2", "everything else (9)"]
    assert sum(one.before.ms for one in pairs if one.before) == sum(before.values())
    assert sum(one.after.ms for one in pairs if one.after) == sum(after.values())
    assert pairs[-1].before is not None
    assert pairs[-1].before.nodes == 14


def test_one_that_is_left_over_is_named_rather_than_called_the_rest() -> None:
    pairs = operators.pairs(profiled({"A": 3.0, "B": 2.0, "C": 1.0}, {"A": 1.0}), 2)
    assert [one.label for one in pairs] == ["A", "B", "C"]


def test_the_picture_has_a_bar_for_every_time() -> None:
    picture = operators.picture(profiled({"Conv": 2.0}, {"QConv": 1.5}))
    assert picture is not None
    words = [element.text for element in ET.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Conv", "QConv", "2.00 ms", "1.50 ms", "onnx_fp32", "final"} <= set(words)
    assert "2.00 ms before, 1.50 ms after" in picture.caption
    assert "var(--final, " in picture.svg
    assert "var(--reference, " in picture.svg


def test_one_profile_alone_is_shown_alone() -> None:
    report = example_report(operators={"final": (OperatorTime(op_type="Conv", nodes=1, ms=2.0),)})
    assert operators.models(report) == ("final",)
    picture = operators.picture(report)
    assert picture is not None
    assert "before" not in picture.caption
    assert "var(--reference, " not in picture.svg


def test_without_a_profile_there_is_nothing() -> None:
    for nothing in (example_report(operators={}), example_report(operators={"other": ()}), profiled({}, {})):
        assert operators.models(nothing) == ()
        assert operators.pairs(nothing) == ()
        assert operators.picture(nothing) is None
