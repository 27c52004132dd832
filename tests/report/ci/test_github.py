"""GitHub's summary and annotations: what fits, what is counted instead, and what the runner reads."""

from __future__ import annotations

import re
from pathlib import PurePath

import pytest
from ci_reports import ACCEPTED, BROKEN, MET, NASTY, TEXTS, UNDECIDED, WARNED, judged
from hypothesis import given
from hypothesis import strategies as st
from tried_example import tried_report

from mlopt.report import merit
from mlopt.report.ci.github import SUMMARY_LIMIT, annotate, summary
from mlopt.report.facts import plain
from mlopt.results.report import GatePlace, GateVerdict

LONG = "|é*" * 1000
COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::(.*)")


def numbered(gate: GateVerdict, count: int, **changes: object) -> list[GateVerdict]:
    return [gate.model_copy(update={"limit": f"<= {index}", **changes}) for index in range(count)]


def commands(*gates: GateVerdict) -> list[tuple[str, str, str]]:
    """Level, title and message as the runner reads them."""
    found = []
    for line in annotate(judged(*gates)).splitlines():
        match = COMMAND.fullmatch(line)
        assert match is not None, line
        level, title, message = match.groups()
        found.append((level, unescape(title), unescape(message)))
    return found


def unescape(text: str) -> str:
    """The runner's order: the per cent sign last."""
    for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(written, meant)
    return text


# The summary


def test_the_worst_comes_first():
    text = summary(judged(MET, WARNED, UNDECIDED, BROKEN))
    verdicts = re.findall(r"^\| (fail|inconclusive|pass|pass \(undecided\)) \|", text, re.MULTILINE)
    assert verdicts == ["fail", "inconclusive", "pass", "pass (undecided)"]
    assert text.startswith("### digits: fail\n\n1.36x as fast as")
    assert "<details><summary>Figures</summary>" in text


def test_fifty_gates_with_long_messages_fit():
    text = summary(judged(*numbered(BROKEN, 50, message=LONG, metric=LONG)))
    assert text.count("\n| fail |") == 50
    assert "left out" not in text
    assert len(text.encode()) < SUMMARY_LIMIT


@pytest.mark.heavy
def test_what_does_not_fit_is_counted():
    gates = [*numbered(MET, 1000, message=LONG), *numbered(BROKEN, 3, message=LONG)]
    text = summary(judged(*gates))
    shown, broken = text.count("\n| pass |"), text.count("\n| fail |")
    assert len(text.encode()) <= SUMMARY_LIMIT
    assert broken == 3
    assert 0 < shown < 1000
    assert f"{1000 - shown} of 1003 gates ({1000 - shown} pass) are left out" in text


@given(limit=st.integers(0, 6000), message=TEXTS, name=TEXTS)
def test_no_limit_is_passed(limit: int, message: str, name: str):
    gates = numbered(UNDECIDED, 12, message=message)
    text = summary(judged(*gates, name=name), limit)
    assert len(text.encode()) <= limit
    rows = text.count("\n| inconclusive |")
    assert text == "" or (rows == 12) != (f"\n{12 - rows} of 12 gates" in text)


def test_markup_in_a_report_stays_text():
    text = summary(judged(BROKEN.model_copy(update={"message": NASTY, "metric": NASTY}), name=NASTY))
    assert "\n# head" not in text
    assert "\x1b" not in text
    assert len([line for line in text.splitlines() if line.startswith("| fail")]) == 1
    assert "<b>" not in re.sub(r"`[^`]*`", "", text).replace(r"\<b\>", "")


# Annotations


def test_each_verdict_has_its_level():
    assert [command[:2] for command in commands(MET, BROKEN, UNDECIDED, WARNED, ACCEPTED)] == [
        ("error", "latency.p95_ms <= 11"),
        ("warning", "accuracy.drop_pt <= 0.5"),
        ("warning", "accuracy.drop_pt <= 0.5"),
        ("notice", "accuracy.drop_pt <= 0.5"),
    ]


def test_nothing_is_said_when_all_gates_are_met():
    assert annotate(judged(MET, MET)) == ""


@given(metric=TEXTS, message=TEXTS)
def test_any_text_reads_back(metric: str, message: str):
    gate = BROKEN.model_copy(update={"metric": metric, "message": message})
    assert commands(gate) == [("error", plain(f"{metric} <= 11"), plain(message))]


@pytest.mark.parametrize("text", ["100%", "%25", "a:b,c", "%3A %0A", NASTY])
def test_what_the_runner_reads_as_its_own_is_escaped(text: str):
    assert commands(BROKEN.model_copy(update={"message": text})) == [("error", "latency.p95_ms <= 11", plain(text))]


@pytest.mark.parametrize(("count", "lines"), [(10, 10), (11, 10), (50, 10)])
def test_of_each_level_ten_are_shown(count: int, lines: int):
    found = commands(*numbered(BROKEN, count), *numbered(UNDECIDED, count))
    for level in ("error", "warning"):
        mine = [command for command in found if command[0] == level]
        assert len(mine) == lines
        named = sum(text.count("<=") for _, title, message in mine for text in (title, message))
        assert named == count


def test_whose_merit_the_speed_is_stands_under_the_claim() -> None:
    lines = summary(tried_report()).split("\n")
    assert lines[4] == merit.sentence(tried_report())
    assert lines[2].startswith("2.92x as fast as onnx_fp32")
    assert "| Speedup by the passes | 1.19x |" in summary(tried_report())


def test_an_annotation_names_the_line_of_its_gate_from_the_repository_on() -> None:
    gate = BROKEN.model_copy(update={"place": GatePlace(file="recipes/a,b.yaml", line=15)})
    line = annotate(judged(gate))
    assert line.startswith("::error file=recipes/a%2Cb.yaml,line=15,title=latency.p95_ms <= 11::12 [")
    assert annotate(judged(gate), PurePath("models/x")).startswith("::error file=models/x/recipes/a%2Cb.yaml,line=15,")


@pytest.mark.parametrize("file", ["/etc/passwd", "../a.yaml", "a/../../b"])
def test_a_file_elsewhere_is_not_named(file: str) -> None:
    gate = BROKEN.model_copy(update={"place": GatePlace(file=file, line=1)})
    assert annotate(judged(gate)).startswith("::error title=")


@given(file=TEXTS)
def test_any_file_name_reads_back(file: str) -> None:
    gate = BROKEN.model_copy(update={"place": GatePlace(file=f"x{file}", line=1)})
    (line,) = annotate(judged(gate)).splitlines()
    assert line.startswith(("::error file=x", "::error title="))
    assert line.count("::") == 2
