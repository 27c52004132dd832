"""What is found, as text: complete, escaped, and what is wrong first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sketched import document

from mlopt.monitor.judge import Monitored, judge
from mlopt.monitor.page import COLUMNS, cells, headline, render, render_markdown

DIGEST = "d" * 64


@pytest.fixture(scope="module")
def found() -> Monitored:
    reference = document(3000)
    return judge(reference, document(3000, 1, 0.5, like=reference))


def test_a_row_has_a_text_for_each_column(found: Monitored) -> None:
    one = next(one for one in found.findings if one.side == "input")
    assert len(cells(one)) == len(COLUMNS)
    assert cells(one)[:3] == ("fail", one.what, "input x, 1")


def test_the_headline_says_how_much_is_wrong(found: Monitored) -> None:
    wrong = sum(one.verdict == "fail" for one in found.findings)
    assert headline(found).startswith(f"{wrong} of {len(found.findings)} figures are further off than chance explains")
    assert (
        headline(replace(found, verdict="pass")) == "Nothing has changed that 3,000 live rows against 3,000 could show"
    )
    assert headline(replace(found, verdict="inconclusive")).startswith("Not to be decided")


def test_markdown_has_every_finding(found: Monitored) -> None:
    text = render_markdown("digits", DIGEST, found)
    assert text.startswith("# digits: FAIL\n")
    assert text.count("\n| fail") + text.count("\n| pass") == len(found.findings)
    assert DIGEST in text


def test_the_page_stands_alone_and_escapes(found: Monitored) -> None:
    odd = replace(found.findings[0], tensor="<script>alert(1)</script>")
    page = render("a<b", DIGEST, replace(found, findings=(odd, *found.findings[1:])))
    assert "<script" not in page
    assert "a&lt;b" in page
    assert 'class="verdict bad">FAIL' in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "[link]" not in render_markdown("[link](x)", DIGEST, found)


def test_a_page_of_very_many_findings_says_what_it_leaves_out(found: Monitored) -> None:
    many = replace(found, findings=found.findings * 40)
    left = len(many.findings) - 200
    assert f"{left} more findings are in the JSON document alone" in render("digits", DIGEST, many)
    assert f"{left} more findings are in the JSON document alone" in render_markdown("digits", DIGEST, many)
