"""report.html: everything is on the page, nothing is loaded, and nothing in a report becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_example import EXAMPLE_RECIPE, P999_REASON, example_report, example_samples
from tried_example import tried_report

from mlopt.report import html, markdown, read
from mlopt.results.figures import Disagreement, OperatorTime, Speedup
from mlopt.results.report import Report
from mlopt.results.section import Verdict

GOLDENS = Path(__file__).parent.parent / "goldens"
VOID = {"meta", "br", "hr", "img", "link", "input"}
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;"


def pruned_report() -> Report:
    """A step with a map of its layers, with trainings, and with notes that nothing here knows."""
    points = [{"layer": "a", "along": [], "ratio": 0.5, "score": 0.9, "macs": 0.7}]
    epochs = [
        {"number": n, "loss": 1 / n, "held_out": 1 / n, "score": 0.5, "learning_rate": 0.1, "seconds": 1.0}
        for n in (1, 2)
    ]
    training = {
        "name": "step 1", "epochs": epochs, "steps": 9, "stopped": "epochs", "best": None, "resumed_at": None,
        "seconds": 2.0,
    }  # fmt: skip
    notes = {
        "sensitivity": {"measure": "accuracy", "samples": 40, "before": 0.95, "points": points},
        "trainings": [training], "steps": [{"ratio": 0.25, "whole": {"head": "an output"}}], "macs": [4939904, 1290304],
        "deep": {"a": {"b": [1, {"c": None}]}}, "flag": True, "nothing": None, "empty": {}, "none": [],
    }  # fmt: skip
    step = (
        example_report().steps[1].model_copy(update={"notes": notes, "config": {"train": {"epochs": 3, "ema": None}}})
    )
    return example_report(steps=(step,))


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
        return " ".join(" ".join(self.words).split())  # a space that does not break becomes a plain one


def rendered(report: Report | None = None) -> str:
    samples = {name: [value for block in blocks for value in block] for name, blocks in example_samples().items()}
    return html.render(report or example_report(), samples, EXAMPLE_RECIPE)


@pytest.fixture(scope="module")
def page() -> str:
    return rendered()


def test_the_verdict_and_the_headline_come_first(page: str) -> None:
    text = Page(page).text
    assert text.index("FAIL") < text.index("Speedup 1.78x") < text.index("1.78x as fast as onnx_fp32")
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "What each step did", "Gates", "How fast it is", "Do it again", "Notes", "All figures", "Gates, in words",
        "The steps, one by one", "What quantize tried", "What it costs in accuracy", "Where the time goes",
        "Under load", "Models measured", "Environment and data", "The recipe",
    ]  # fmt: skip


def test_the_contents_lead_to_every_part(page: str) -> None:
    links = re.findall(r'<a href="#([^"]+)">(.*?)</a>', page)
    assert [title for _, title in links] == re.findall(r"<h2>(.*?)</h2>", page)
    assert all(f'id="{target}"' in page for target, _ in links)


@pytest.mark.parametrize(
    "fact",
    [
        "1.71x to 1.86x against onnx_fp32; noise floor 3.1 %",
        "0.9871x to 1.0312x, includes 1x; noise floor 3.1 %",
        "2 of at most 3; intervals are of 98.3 %, to hold at 95 % over all looks",
        "the time that max_time allows was spent, after 1 min 34 s",
        "openvino : its worker did not answer for 60 s and was ended",
        "At every point: 1 client, 2 threads.",
        "16 5.02 ms 5.52 ms 3,125",
        "differ on 5 of 1,500 samples: 3 that only the first gets right, 2 that only the second does. 4 of 5 shown.",
        "118 3 3 5",
        "QLinearConv 0.412 ms 4",
        "cold start: load 14.2 ms, first inference 2.31 ms",
        "undecided, counts as pass",
        "Undecided counts as pass here, with a warning (on_inconclusive: warn).",
        "1.69 to 1.88 (99 %)",
        "0.794 ms",
        "134 kB",
        "98.40 %",
        "-0.21 pt to 0.35 pt against onnx_fp32; 5 of 1,500 samples differ",
        "FP16 on x86 ORT is computed in FP32: half the size, no faster",
        "latency rose from 1.40 ms to 2.31 ms, and the objective is latency",
        "the worker was killed by signal 11; see repro/",
        "18 s (timing layers 4 s, judging 2 s, measuring against FP32 12 s); judged on 85 samples",
        "static 9 0.9987 0.940 agreement 0.9400 is below 0.95",
        "static 8 0.9987 0.970 134 kB 1.66x (1.58x to 1.74x) chosen",
        "conv_2 0.610 ms 0.300 ms 35.8 dB conv_1 0.220 ms 0.310 ms slower in INT8: 0.31 ms against 0.22 ms in FP32",
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
    assert all(not key.startswith("on") and key != "src" for _, attributes in tags for key in attributes)
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in tags), "links stay on the page"
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
    assert report.sampling is not None
    assert report.accuracy_drop is not None
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
        sampling=report.sampling.model_copy(update={"lost": {ATTACK: ATTACK}}),
        sweep=tuple(point.model_copy(update={"name": ATTACK}) for point in report.sweep),
        operators={name: (OperatorTime(op_type=ATTACK, nodes=1, ms=1.0),) for name in ("onnx_fp32", ATTACK)},
        differing=(Disagreement(sample=1, label=ATTACK, reference=ATTACK, final=ATTACK),),
        accuracy_drop=report.accuracy_drop.model_copy(update={"vs": ATTACK}),
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
        steps=(), gates=(), data={}, notes=(), accuracy_drop=None, final=final, sampling=None, sweep=(), operators={},
        differing=(),
        references={"onnx_fp32": final.model_copy(update={"name": "onnx_fp32"})}, baseline=final,
    )  # fmt: skip
    text = Page(html.render(bare, {}, "")).text
    assert "Steps" not in text
    assert "Under load" not in text
    assert "Where the time goes" not in text
    assert "What it costs" not in text
    assert "nothing was judged" in text
    assert "How latency is spread" not in text
    assert "The recipe" not in text


@pytest.mark.heavy
@pytest.mark.parametrize(("verdict", "role"), [("pass", "good"), ("fail", "bad"), ("inconclusive", "warn")])
def test_a_verdict_has_its_colour(verdict: Verdict, role: str) -> None:
    gate = example_report().gates[0].model_copy(update={"verdict": verdict, "found": verdict})
    tags = tagged(rendered(example_report(verdict=verdict, gates=(gate,))))
    assert tags["verdict"] == {(verdict.upper(), role)}
    assert (verdict, role) in tags["tag"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("verdict", "policy", "text", "role"),
    [
        ("pass", "warn", "undecided, counts as pass", "warn"),
        ("pass", "pass", "undecided, counts as pass", "warn"),
        ("fail", "fail", "undecided, counts as fail", "bad"),
    ],
)
def test_an_undecided_gate_never_looks_decided(verdict: Verdict, policy: str, text: str, role: str) -> None:
    update = {"verdict": verdict, "found": "inconclusive", "on_inconclusive": policy}
    page = rendered(example_report(gates=(example_report().gates[0].model_copy(update=update),)))
    assert (text, role) in tagged(page)["tag"]
    assert ("inconclusive", role) in tagged(page)["tag"], "and it stands at the top"
    assert not {"pass", "fail"} & {word for word, _ in tagged(page)["tag"]}


@pytest.mark.heavy
def test_a_run_whose_control_excludes_1_says_so_before_any_figure() -> None:
    doubted = example_report().speedup.model_copy(update={"control": (1.012, 1.09)})
    page = rendered(example_report(speedup=doubted, speedups={"onnx_fp32": doubted}))
    text = Page(page).text
    assert text.index("are not to be trusted") < text.index("Latency p50")
    assert "1.0120x to 1.0900x, which excludes 1x" in text
    assert "1.78x as fast as onnx_fp32 (1.57x to 2.03x)" in text, "and by so much wider is the interval"
    assert "to be trusted" not in Page(rendered()).text


def test_a_run_without_a_recipe_is_told_as_one() -> None:
    report = example_report()
    final = report.final.model_copy(update={"name": "b.onnx", "accuracy": None})
    base = report.baseline.model_copy(update={"name": "a.onnx", "accuracy": None})
    speedup = Speedup(median=1.2, ci95=(1.1, 1.3), vs="a.onnx", noise_floor=0.02)
    bench = example_report(
        baseline=base, references={"a.onnx": base}, final=final, speedup=speedup, speedups={"a.onnx": speedup},
        steps=(), accuracy_drop=None, differing=(), data={"bench": {"source": "synthetic", "samples": 8}},
    )  # fmt: skip
    text = Page(html.render(bench, {}, "")).text
    assert "measured side by side" in text
    assert "Side by side" in text
    assert "Do it again mlopt bench b.onnx --against a.onnx" in text
    assert "mlopt optimize" not in text


def test_a_report_of_mlopt_0_1_is_read_and_is_a_page_too() -> None:
    old = read(GOLDENS / "report" / "report_0.1.json")
    assert (old.sampling, old.sweep, old.speedup.control) == (None, (), None)
    text = Page(rendered(old)).text
    assert "A/A control noise floor 3.1 %" in text
    assert "Under load" not in text
    assert "undecided" not in text
    assert "A/A control: noise floor 3.1 %" in markdown.render(old)


def tagged(page: str) -> dict[str, set[tuple[str, str]]]:
    """Return text and colour of every tag, and of the verdict."""
    found = re.findall(r'<span class="(tag|verdict) (\w+)">([^<]*)</span>', page)
    return {kind: {(text, role) for name, role, text in found if name == kind} for kind in ("tag", "verdict")}


def test_the_same_report_gives_the_same_bytes(page: str) -> None:
    assert rendered() == page


BRACES = re.compile(r"""[{\[]\s*['"]|['"]\s*:\s|\bNone\b|\bTrue\b|\bFalse\b|\{\}|\[\]""")
"""What JSON and Python look like, and prose does not."""


def goldens() -> list[Report]:
    return [read(GOLDENS / "report" / name) for name in ("report.json", "report_0.1.json")]


@pytest.mark.parametrize("report", [*goldens(), tried_report(), pruned_report()], ids=["now", "0.1", "tried", "pruned"])
def test_nobody_is_shown_json_python_or_minus_nothing(report: Report) -> None:
    """Of the page all but the recipe, which is a file; and all of what goes into a pull request."""
    page = html.render(report, {}, "")
    for text in (Page(page).text, markdown.render(report)):
        assert BRACES.findall(text) == []
        assert not re.search(r"-0\.0+(?![0-9])", text)
        assert not re.search(r"\b[0-9]{3,}\.[0-9]+x", text)


def test_json_and_python_would_be_found() -> None:
    assert all(BRACES.search(text) for text in ('{"a": 1}', "{'a': 1}", "['x']", '["x"]', "{}", "x is None"))
