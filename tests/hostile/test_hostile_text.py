"""Every verb, with hostile names in everything that it reads: nothing in what leaves the program does anything."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
from gate_evidence import STEP, report
from hostile_texts import JOINED, WELL_FORMED, is_inert
from onnx import TensorProto, helper, numpy_helper
from packed_artifact import PASSED, pack
from study_example import example_study, raced
from tried_example import tried

from mlopt import report as reports
from mlopt.cli.app import run
from mlopt.report import html, markdown
from mlopt.report import study as studies
from mlopt.report.ci import action_benchmark, badge, bencher, github, junit, openmetrics
from mlopt.results.figures import LayerPrecision
from mlopt.results.report import Report
from mlopt.results.study import SearchParameter, StudyRecord, Worth

LOOKS = tried()


def hostile_report() -> Report:
    """Return a report of which every free text is hostile."""
    gate = PASSED.model_copy(update={"message": JOINED, "metric": f"latency.p95_ms {JOINED}", "limit": JOINED})
    step = STEP.model_copy(update={"name": JOINED, "reason": JOINED, "status": "dropped"})
    hostile = {"model": JOINED, "runtime": JOINED, "options": {JOINED: JOINED}, "why_not": JOINED}
    tries = (LOOKS[0].model_copy(update=hostile), LOOKS[1].model_copy(update=hostile | {"why_not": None}))
    return report(
        tried=tries, spent={JOINED: 1.0}, layers={JOINED: (LayerPrecision(precision=JOINED, layers=1),)},
        name=JOINED, notes=(JOINED,), gates=(gate,), steps=(step,), objective="latency",
        data={"evaluation": {"source": JOINED, "samples": 5, "digest": "e" * 64}},
    )  # fmt: skip


def hostile_study() -> StudyRecord:
    """Return a study of which every free text is hostile."""
    names = {"params": {JOINED: JOINED, "y": {JOINED: [JOINED]}}, "runtime": JOINED, "node": JOINED, "digest": JOINED}
    trials = (
        raced(0, latency_ms=2.0, accuracy=0.9, origin="recipe", **names),
        raced(1, latency_ms=1.0, accuracy=0.8, origin=JOINED, why_not=JOINED, valid=False, **names),
        raced(2, latency_ms=1.5, accuracy=0.9, options={JOINED: JOINED}, **names),
        raced(3, status="failed", valid=None, cause=JOINED, **names),
        raced(4, status="stopped", valid=None, cause=JOINED, node="x"),
    )
    metric = trials[0].accuracy.model_copy(update={"metric": JOINED}) if trials[0].accuracy else None
    space = (SearchParameter(name=f"passes.{JOINED}", values=(JOINED, True), default=JOINED, when={JOINED: (JOINED,)}),)
    return example_study(
        name=JOINED, objective=JOINED, recipe_digest=JOINED, recipe=JOINED, space=space, best=2, front=(2, 0),
        trials=tuple(one.model_copy(update={"accuracy": metric}) if one.accuracy else one for one in trials),
        importance={JOINED: 0.5}, worth=(Worth(step=JOINED, without=1, speedup=1.5),),
    )  # fmt: skip


def hostile_model(path: Path) -> Path:
    """Write a model of which every name is hostile, its operator's domain included."""
    n = [f"{text}{index}" for index, text in enumerate(WELL_FORMED)]
    nodes = [
        helper.make_node("MatMul", [JOINED, n[0]], [n[1]], name=n[2]),
        *(helper.make_node("Relu", [n[1 + k]], [n[2 + k]], name=f"node {n[2 + k]}") for k in range(len(n) - 3)),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, JOINED, [value(JOINED, TensorProto.FLOAT, [JOINED, 4])],
        [value(n[len(n) - 2], TensorProto.FLOAT, [JOINED, 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), n[0])], doc_string=JOINED,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name=JOINED)
    helper.set_model_props(model, {JOINED.replace("\x00", ""): JOINED})
    onnx.save(model, path)
    return path


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    told = capfd.readouterr()
    return told.out + "\n" + told.err


QUICK = "--set measure.seconds=0.05 --set measure.rounds=7 --set measure.max_time=1"
FILES = ("report --format md", "report --format html", "report --format json")


@pytest.mark.process
@pytest.mark.parametrize(
    "command",
    [
        "report R", "gate R", "gate R --json", "diff R R", "diff R R --format md", "diff R R --json",
        *(f"{c} R" for c in FILES), "report S", *(f"{c} S" for c in FILES),
        "inspect M", "inspect M --json", "compare M M", "compare M M --json", "bench M --time 0.1",
        "plan M", f"optimize M --no-sign -o made {QUICK}",
        "recipe init M -o x.yaml", "recipe check Y", "optimize Y", "plan Y",
        "verify A", "inspect A", "bench A --time 0.1", "report A", "gate A", "gate R --gates Y", "bench M --gate G",
        "unpack M -o out --key M", "passes N", "bisect Y M", "digest N", "sign N", "attest N", "compare N M",
    ],
)  # fmt: skip
def test_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    folder = tmp_path / "[/b]\x1b[31m" / "::error::x ##[y]\u202e"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    hostile_model(Path("m.onnx"))
    Path("r.json").write_text(reports.to_json(hostile_report()))
    Path("s.json").write_text(studies.to_json(hostile_study()))
    pack(tmp_path, None).path.rename(folder / "digits")
    manifest = json.loads(Path("digits/mlopt.json").read_text())
    Path("digits/mlopt.json").write_text(json.dumps(manifest | {JOINED: JOINED, "schema": JOINED, "runtime": JOINED}))
    Path("y.yaml").write_text(json.dumps({"apiVersion": JOINED, "name": JOINED, JOINED: [JOINED], "passes": [JOINED]}))
    names = {
        "R": "r.json",
        "S": "s.json",
        "M": "m.onnx",
        "A": "digits",
        "Y": "y.yaml",
        "N": JOINED.replace("\x00", ""),
        "G": JOINED,
    }
    code = run([names.get(word, word) for word in command.split()])
    text = printed(capfd)
    assert code != 70, text
    assert "Traceback" not in text
    assert is_inert(text), [line for line in text.splitlines() if not is_inert(line)][:3]


def test_commands_to_github_are_our_own_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = github.annotate(hostile_report())
    for line in found.splitlines():
        assert re.match(r"::(notice|warning|error) title=[^:,]*::", line)
        assert is_inert(line.split("::", 2)[2].replace("::", "").replace("##", ""))
    assert len(found.splitlines()) <= 1


def test_xml_and_metrics_and_json() -> None:
    made = hostile_report()
    ET.fromstring(junit.render(made))
    for text in (openmetrics.render(made), junit.render(made)):
        assert is_inert(text.replace("::", "").replace("##", ""))
    for text in (badge.render(made), bencher.render(made), action_benchmark.render(made), reports.to_json(made)):
        json.loads(text)
        assert all(unicodedata.category(c)[0] != "C" or c == "\n" for c in text)


@pytest.mark.parametrize(
    "page", [html.render(hostile_report(), {}, JOINED), studies.text(hostile_study(), "html")], ids=["report", "study"]
)
def test_html_shows_and_does_nothing(page: str) -> None:
    assert is_inert(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).replace("::", "").replace("##", ""))
    assert re.search(r"<(script|img|iframe|a )", page) is None or "<script>alert" not in page


@pytest.mark.parametrize(
    "page",
    [markdown.render(hostile_report()), studies.text(hostile_study().model_copy(update={"recipe": ""}), "md")],
    ids=["report", "study"],
)
def test_markdown_names_nobody_and_links_nowhere(page: str) -> None:
    page = re.sub(r"`[^`]*`", "", page)
    assert is_inert(page.replace("::", "").replace("##", ""))
    for linked in (r"@\w", r"(?<!&)#\d", r"\w://\w", r"www\.\w", r"(?<!\\)\]\(", r"(?<!\\)<\w"):
        assert re.search(linked, page.replace("https://", "")) is None, linked
