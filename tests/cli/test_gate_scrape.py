"""``mlopt gate URL``: the exit code is the verdict of the scrape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from one_answer import answering
from verb_runs import running

from mlopt.cli.gate import gate
from mlopt.cli.gate_scrape import is_scrape
from mlopt.core.errors import GateError, UserError

run = running(gate)
BUCKETS = (("0.01", 900), ("0.1", 995), ("+Inf", 1000))
TEXT = "".join(
    [f'mlopt_request_seconds_bucket{{le="{bound}"}} {count}\n' for bound, count in BUCKETS]
    + ['mlopt_requests_total{code="200"} 999\n', 'mlopt_requests_total{code="500"} 1\n']
)
PASS, FAIL, OPEN = "serving.p50_ms <= 20", "serving.p95_ms <= 5", "serving.error_rate <= 0.001"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "metrics.txt").write_text(f"# HELP x y\n{TEXT}")
    return tmp_path / "metrics.txt"


@pytest.mark.parametrize(("limit", "code"), [(PASS, 0), (FAIL, 1), (OPEN, 3)])
def test_the_exit_code_is_the_verdict(file: Path, limit: str, code: int) -> None:
    assert run("gate", file, "--gate", limit).exit_code == code


def test_a_server_is_asked_once() -> None:
    with answering(200, TEXT.encode()) as server:
        found = run("gate", f"{server.url}/metrics", "--gate", PASS, "--gate", FAIL, "--json")
    assert server.asked == [("/metrics", None)]
    told = json.loads(found.stdout)
    assert (found.exit_code, told["verdict"]) == (1, "fail")
    assert [one["verdict"] for one in told["gates"]] == ["pass", "fail"]
    assert "verdict      fail" in found.stderr


def test_the_table_has_other_forms(file: Path) -> None:
    assert run("gate", file, "--gate", PASS, "--format", "csv").stdout.startswith("verdict,model,gate,found\npass,,")
    assert "| pass |" in run("gate", file, "--gate", PASS, "--format", "md").stdout


def test_an_earlier_scrape_is_taken_away(file: Path, tmp_path: Path) -> None:
    (tmp_path / "before.txt").write_text(TEXT.replace("999", "500").replace("1000", "501").replace("995", "500")
                                         .replace("900", "500"))  # fmt: skip
    found = run("gate", file, "--gate", PASS, "--baseline", tmp_path / "before.txt", "--json")
    assert json.loads(found.stdout)["gates"][0]["n"] == 499


def test_what_only_a_report_answers_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--junit goes with a report"):
        run("gate", file, "--gate", PASS, "--junit", tmp_path / "x.xml")
    with pytest.raises(GateError, match="no gates"):
        run("gate", file)


def test_a_report_is_no_scrape(tmp_path: Path, file: Path) -> None:
    (tmp_path / "report.json").write_text(' {"schema": "x"}')
    (tmp_path / "empty").write_text("")
    assert [is_scrape(str(each)) for each in (file, tmp_path / "report.json", tmp_path / "empty", tmp_path)] == [
        True, False, False, False,
    ]  # fmt: skip
    assert is_scrape("http://127.0.0.1:1/metrics")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.txt").write_bytes(b"# \xff\xfe\n")
    with pytest.raises(UserError, match="not UTF-8"):
        run("gate", tmp_path / "metrics.txt", "--gate", PASS)


def of_models(**slow: bool) -> str:
    """A scrape of models by name, of which some are slow: all their requests took 0.1 to 1 s."""
    lines = ["# HELP x y"]
    for name, is_slow in slow.items():
        counts = (0, 0, 1000, 1000) if is_slow else (1000, 1000, 1000, 1000)
        lines += [f'mlopt_request_seconds_bucket{{model="{name}",le="{bound}"}} {count}'
                  for bound, count in zip(("0.01", "0.1", "1", "+Inf"), counts, strict=True)]  # fmt: skip
        lines.append(f'mlopt_requests_total{{model="{name}",code="200"}} 1000')
    return "\n".join(lines) + "\n"


def test_the_worst_model_counts_and_each_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.txt").write_text(of_models(good=False, bad=True))
    limits = ("--gate", PASS, "--gate", "serving.error_rate <= 0.1")
    found = run("gate", tmp_path / "metrics.txt", *limits)
    assert found.exit_code == 1
    assert "fail         serving.p50_ms <= 20, model bad" in found.stdout
    assert "pass         serving.p50_ms <= 20, model good" in found.stdout
    assert "the worst of 2 models" in found.stdout
    told = json.loads(run("gate", tmp_path / "metrics.txt", *limits, "--json").stdout)
    assert [(one["model"], one["verdict"]) for one in told["gates"]] == [
        ("bad", "fail"), ("bad", "pass"), ("good", "pass"), ("good", "pass"),
    ]  # fmt: skip
    csv = run("gate", tmp_path / "metrics.txt", *limits, "--format", "csv").stdout
    assert csv.splitlines()[1].startswith("fail,bad,serving.p50_ms <= 20,")


def test_a_model_that_is_named_is_judged_alone(tmp_path: Path) -> None:
    (tmp_path / "metrics.txt").write_text(of_models(good=False, bad=True, ugly=True))
    file = tmp_path / "metrics.txt"
    found = run("gate", file, "--gate", PASS, "--model", "good")
    assert found.exit_code == 0
    assert "the worst of" not in found.stdout
    assert run("gate", file, "--gate", PASS, "--model", "good", "--model", "bad").exit_code == 1
    with pytest.raises(GateError, match="nothing of this model"):
        run("gate", file, "--gate", PASS, "--model", "gone")


def test_a_report_is_of_one_model(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UserError, match="a report is of one model"):
        run("gate", tmp_path / "report.json", "--model", "good")
