"""The canvas: colours by role that can be read, scales that suit their range, ids that no other picture has."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.report.svg import PALETTE, Margins, Scale, colour, draw, write


def test_the_light_colours_name_their_roles() -> None:
    lights = [light for light, _ in PALETTE.values()]
    assert len(set(lights)) == len(lights)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("role", ["ink", "muted", "final", "good", "bad", "warn", "hue-a", "hue-b", "hue-c", "hue-d"])
def test_text_can_be_read_on_paper(role: str, mode: int) -> None:
    assert contrast(PALETTE[role][mode], PALETTE["paper"][mode]) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels: Any = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_wide_range_is_logarithmic_and_a_narrow_one_is_not() -> None:
    assert Scale.over(1, 100).log
    assert not Scale.over(1, 2).log
    assert not Scale.over(-1, 100).log, "nothing below zero has a logarithm"
    assert not Scale.over(1e-300, 1e300).log, "no measurements differ as much"


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 0.5))
def test_any_range_fits_into_its_scale(one: float, other: float, pad: float) -> None:
    low, high = min(one, other), max(one, other)
    scale = Scale.over(low, high, pad=pad)
    assert scale.low < scale.high
    assert scale.low <= low + abs(low) * 1e-9
    assert scale.high >= high - abs(high) * 1e-9


def picture(name: str, text: str = "") -> str:
    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 10], color=colour("final"))
        write(axes, text, 0.5, 5)

    return draw(name, f"About {text}", 20, Margins(), paint)


def test_no_id_is_that_of_another_picture() -> None:
    ids = [set(re.findall(r' id="([^"]+)"', picture(name))) for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]
    for reference in re.findall(r"url\(#([^)]+)\)", picture("one")):
        assert reference in ids[0]


def test_text_of_strangers_stays_text() -> None:
    drawn = picture("x", "<script>$a$\x1b[31m")
    assert "<script>" not in drawn
    assert "&lt;script&gt;$a$\ufffd[31m" in drawn
    assert ET.fromstring(drawn).attrib["role"] == "img"


@given(st.floats(0.001, 1e6), st.floats(1.001, 1e6), st.floats(0, 1))
def test_a_share_of_a_scale_is_where_its_axis_shows_it(low: float, factor: float, share: float) -> None:
    scale = Scale.over(low, low * factor)
    assert scale.share(scale.low) == 0
    assert scale.share(scale.high) == pytest.approx(1)
    value = scale.low * (scale.high / scale.low) ** share if scale.log else scale.low + share * (scale.high - scale.low)
    assert scale.share(value) == pytest.approx(share, abs=1e-6)


def test_a_description_is_text_that_the_picture_refers_to() -> None:
    root = ET.fromstring(draw("one", "Title", 20, Margins(), lambda axes: None, "<b>\x1bwords"))
    (told,) = root.iter("{http://www.w3.org/2000/svg}desc")
    assert told.text == "<b>\ufffdwords"
    assert root.attrib["aria-describedby"] == told.attrib["id"] == "one-description"
    assert "aria-describedby" not in draw("two", "Title", 20, Margins(), lambda axes: None)
