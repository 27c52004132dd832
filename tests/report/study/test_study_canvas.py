"""Words that a pointer brings up are text, and lie where their point does."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hostile_texts import JOINED, is_inert

from mlopt.report.study.canvas import HoverSpot, KeyEntry, Plane, hovered, key_height
from mlopt.report.svg import Margins, draw

SVG = "{http://www.w3.org/2000/svg}"
MARGINS = Margins(left=20, top=10)


def test_words_are_escaped_and_lie_at_their_point() -> None:
    empty = draw("x", "Title", 50, MARGINS, lambda axes: None)
    root = ET.fromstring(hovered(empty, [HoverSpot(5, 7, (JOINED, "two"))], MARGINS))
    (circle,) = root.iter(f"{SVG}circle")
    assert (circle.attrib["cx"], circle.attrib["cy"]) == ("25.00", "17.00")
    (title,) = circle.iter(f"{SVG}title")
    assert (title.text or "").endswith("\ntwo")
    assert is_inert((title.text or "").replace("::", "").replace("##", ""))
    assert list(root.iter(f"{SVG}script")) == []


def test_a_key_has_three_entries_on_a_line() -> None:
    entries = [KeyEntry(f"r{number}", "o", "hue-a") for number in range(4)]
    assert key_height(entries) == 2 * key_height(entries[:3])
    drawn = draw("k", "Title", 50, MARGINS, lambda axes: Plane(axes, MARGINS).key(entries))
    words = [element.text for element in ET.fromstring(drawn).iter(f"{SVG}text")]
    assert words == ["r0", "r1", "r2", "r3"]
