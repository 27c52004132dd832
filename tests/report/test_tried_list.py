"""The list of what was tried: its cells, and what of it is shown."""

from __future__ import annotations

from dataclasses import replace

from report_example import example_report
from tried_example import LOOKS, tried, tried_report

from mlopt.report import html, markdown, tried_list

ATTACK = "<img src=x onerror=alert(1)>|`\x1b[31m"


def test_the_example_is_listed_in_order() -> None:
    rows = tried_list.rows(tried_report())
    assert [row.number for row in rows] == list(range(1, 13))
    assert [row.standing for row in rows] == ["shipped"] + ["valid"] * 8 + ["not valid"] * 3
    first, last = rows[0], rows[-1]
    assert (first.form, first.runtime, first.options) == ("after simplify (1)", "openvino", "bf16, static shapes")
    assert (first.latency, first.cosine, first.sqnr, first.accuracy) == ("2.13 ms", "0.999960", "41.0 dB", "94.13 %")
    assert (last.latency, last.speedup, last.interval, last.cosine, last.accuracy) == ("",) * 5
    assert "DynamicQuantizeMatMul" in last.why_not


def test_where_the_time_went() -> None:
    spent = "79.3 s went into choosing (racing 48.2 s, opening and judging 21.4 s, asking the passes 9.70 s)"
    assert tried_list.spent(tried_report()) == spent
    assert tried_list.spent(tried_report(spent={})) == ""
    many = {f"part {number}": 1.0 for number in range(2000)}
    assert len(tried_list.spent(tried_report(spent=many))) < 200


def test_both_pages_list_all_of_it_with_the_reasons() -> None:
    page = html.render(tried_report(), {}, "")
    for told in (page.replace("\u00a0", " "), markdown.render(tried_report())):
        assert "12 deployables, of which 9 may be shipped" in told
        assert "after simplify (1), in openvino bf16, static shapes" in told
        assert told.count("slower than what is shipped") == 8
        assert "OpenVINO does not know operators of this model: com.microsoft.DynamicQuantizeMatMul" in told
        assert "79.3 s went into choosing" in told


def test_without_a_score_there_is_no_such_column() -> None:
    none = tuple(one.model_copy(update={"accuracy": None}) for one in tried())
    assert [tried_list.has_scores(tried_list.rows(tried_report(tried=each))) for each in (tried(), none)] == [
        True,
        False,
    ]
    pages = [html.render(tried_report(tried=each), {}, "") for each in (tried(), none)]
    tables = [page.partition('<table class="wide deployables">')[2].partition("</table>")[0] for page in pages]
    assert [table.count(">Accuracy<") for table in tables] == [1, 0]


def test_a_long_list_is_cut_and_the_rest_is_counted() -> None:
    many = tuple(one.model_copy(update={"why_not": "no"}) for one in tried() * 160)
    report = tried_report(tried=many)
    assert len(tried_list.rows(report)) == 40
    assert tried_list.left_out(report) == "and 1,880 more in report.json"
    assert tried_list.left_out(tried_report()) == ""
    page, text = html.render(report, {}, ""), markdown.render(report)
    assert "and 1,880 more in report.json" in page
    assert "and 1,880 more in report.json" in text
    table = text.partition("## What was tried")[2].partition("\n## ")[0]
    assert page.count('class="place"') == table.count("\n| ") - 1 == 40
    assert "1,920 deployables" in page


def test_words_of_strangers_stay_text_and_are_short() -> None:
    strange = replace(
        LOOKS[0], model=ATTACK * 300, runtime=ATTACK * 300, options={ATTACK: ATTACK}, why_not=ATTACK * 900
    )
    report = tried_report(tried=tried((strange, replace(strange, why_not=None))))
    page = html.render(report, {}, "")
    assert "<img" not in page
    assert "\x1b" not in page
    (row, *_) = tried_list.rows(report)
    assert len(row.form) <= 60
    assert len(row.runtime) <= 60
    table = markdown.render(report).partition("## What was tried")[2].partition("\n## ")[0]
    lines = [line for line in table.split("\n") if line.startswith("|")]
    assert len({line.replace("\\\\", "").replace("\\|", "").count("|") for line in lines}) == 1


def test_without_a_choice_there_is_no_such_section() -> None:
    report = example_report()
    assert "What was tried" not in html.render(report, {}, "")
    assert "What was tried" not in markdown.render(report)
    assert tried_list.rows(report) == ()
