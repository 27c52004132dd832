"""The share card: well-formed, alone, of one size, and with what a reader asks first."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from report_example import example_report
from tried_example import tried_report

from mlopt.report import card

ATTACK = "<script>alert(1)</script>\"'&"


def words(svg: str) -> str:
    return " | ".join(one.text or "" for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


def test_the_card_says_what_is_asked_first() -> None:
    report = example_report()
    said = words(card.render(report))
    for part in ("FAIL", "mnist_cnn", "1.78x", "1.71x to 1.86x", "0.07 pt", "134 kB", "AMD EPYC 7R13", "2026-11-23",
                 report.final.digest.removeprefix("sha256:")[:12], "onnx_fp32", "0.794 ms"):  # fmt: skip
        assert part in said


def test_it_stands_alone_and_text_stays_text() -> None:
    for report in (example_report(name=ATTACK), tried_report()):
        svg = card.render(report)
        assert "<script" not in svg
        assert set(re.findall(r"https?://[^\s\"\'<>]+", svg)) == {"http://www.w3.org/2000/svg"}
        assert "url(" not in svg
        assert ET.fromstring(svg).attrib["viewBox"] == "0 0 1200 630"
        assert len(svg) < 20_000


def test_many_steps_leave_room_for_the_foot() -> None:
    report = example_report()
    many = example_report(steps=tuple(report.steps[0].model_copy(update={"name": f"s{n}"}) for n in range(30)))
    heights = [float(one.attrib["y"]) for one in ET.fromstring(card.render(many)).iter() if "y" in one.attrib]
    assert max(heights) < card.HEIGHT
