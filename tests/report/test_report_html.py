"""report.html: everything is on the page, nothing is loaded, and nothing in a report becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from report_example import EXAMPLE_RECIPE, P999_REASON, example_report, example_samples

from mlopt.report import html
from mlopt.report.schema import Report

VOID = {"meta", "br", "hr", "img", "link", "input"}
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;"


class Page(HTMLParser):
    """The page's text, its tags, and whether every tag is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def rendered(report: Report | None = None) -> str:
    samples = {name: [value for block in blocks for value in block] for name, blocks in example_samples().items()}
    return html.render(report or example_report(), samples, EXAMPLE_RECIPE)


@pytest.fixture(scope="module")
def page() -> str:
    return rendered()


def test_the_verdict_and_the_headline_come_first(page: str) -> None:
    text = Page(page).text
    assert text.index("FAIL") < text.index("1.78x as fast as onnx_fp32") < text.index("What happened")
    assert text.index("What happened") < text.index("Steps") < text.index("Environment") < text.index("The recipe")


@pytest.mark.parametrize(
    "fact",
    [
        "1.71x to 1.86x against onnx_fp32; noise floor 3.1 %",
        "0.794 ms",
        "134 kB",
        "98.40 %",
        "-0.21 pt to 0.35 pt against onnx_fp32; 5 of 1,500 samples differ",
        "FP16 on x86 ORT is computed in FP32: half the size, no faster",
        "latency rose from 1.40 ms to 2.31 ms, and the objective is latency",
        "the worker was killed by signal 11; see repro/",
        f"p999 is not given: {P999_REASON}",
        "0.900 ms (0.890 to 0.911) is above 0.85 ms",
        "AMD EPYC 7R13 Processor, 2 cores",
        "./mnist_cnn.py:calibration",
        "The machine was busy: the A/A control came out at 3.1 %.",
        "mlopt verify artifacts/mnist_cnn",
        "- quantize: {mode: static, scheme: auto, optional: true}",
    ],
)
def test_the_page_says(page: str, fact: str) -> None:
    assert fact in Page(page).text


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    urls = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "only the names of namespaces"
    tags = Page(page).tags
    assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in tags}
    assert all(not key.startswith("on") and key not in ("src", "href") for _, attributes in tags for key in attributes)
    assert "default-src 'none'" in page
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", page)


def test_every_id_is_there_once_and_every_reference_has_its_id(page: str) -> None:
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r"url\(#([\w-]+)\)", page) + re.findall(r"xlink:href=\"#([\w-]+)\"", page)
    assert used
    assert set(used) <= set(ids)


def test_names_and_reasons_stay_text() -> None:
    report = example_report()
    step = report.steps[0].model_copy(update={"name": ATTACK, "reason": ATTACK, "notes": {ATTACK: ATTACK}})
    gate = report.gates[0].model_copy(update={"metric": ATTACK, "limit": ATTACK, "message": ATTACK})
    hostile = example_report(
        name=ATTACK,
        final=report.final.model_copy(update={"name": ATTACK}),
        references={ATTACK: report.baseline},
        steps=(step,),
        gates=(gate,),
        data={ATTACK: {ATTACK: ATTACK}},
        notes=(ATTACK,),
    )
    page = html.render(hostile, {ATTACK: [1.0, 2.0]}, ATTACK)
    assert "<script" not in page
    assert "<img" not in page
    assert "onerror" in Page(page).text, "it is shown, as text"
    assert all("onerror" not in attributes for _, attributes in Page(page).tags)


def test_a_report_with_little_in_it_is_a_page_too() -> None:
    report = example_report()
    final = report.final.model_copy(update={"accuracy": None, "fidelity": None})
    bare = example_report(
        steps=(), gates=(), data={}, notes=(), accuracy_drop=None, final=final,
        references={"onnx_fp32": final.model_copy(update={"name": "onnx_fp32"})}, baseline=final,
    )  # fmt: skip
    text = Page(html.render(bare, {}, "")).text
    assert "No step was run." in text
    assert "nothing was judged" in text
    assert "How latency is spread" not in text
    assert "The recipe has" in text
    assert "The recipe apiVersion" not in text


def test_the_same_report_gives_the_same_bytes(page: str) -> None:
    assert rendered() == page
