"""``loadtest.html``."""

from __future__ import annotations

from html.parser import HTMLParser

from load_example import record

from mlopt.loadtest.page import render
from mlopt.results.serving import ServerRecord


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]


def test_the_page_needs_no_script_and_no_network() -> None:
    found = Elements(render(record()))
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert all(address.startswith("#") for address in found.addresses)
    assert found.tags.count("svg") == 2


def test_it_says_what_was_found() -> None:
    found = render(record())
    for part in ("FAIL", "1,998 of 2,000", "serving.p99_ms", "Against the other", "http 503", "a note", "Highest rate"):
        assert part in found


def test_what_was_not_done_is_not_there() -> None:
    found = render(record(ramp=None, comparison=None, gates=(), verdict=None, reasons=()))
    assert "NOT JUDGED" in found
    assert 'id="rates"' not in found
    assert 'id="differences"' not in found


def test_foreign_text_is_no_markup() -> None:
    hostile = "<script>alert(1)</script>"
    found = render(record(served=ServerRecord(url=hostile, model=hostile), notes=(hostile,)))
    assert "<script>" not in found
