"""The files that Prometheus and Alertmanager start with, and the verdict as they read it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from monitoring_tools import tool

from mlopt.gate.exposition import samples
from mlopt.monitor.alerting import HEAD, ROUTES, RULES, SCRAPE, files, metrics
from mlopt.monitor.objectives import Objectives

WANTED = Objectives("digits\nx", "d" * 64, 0.1, 50, 0.999, ("latency: p99=100ms, as given",))
AMTOOL = tool("amtool")


def test_each_file_says_what_it_is_for_and_where_limits_are_from() -> None:
    found = files(WANTED, "10.0.0.1:8000")
    assert set(found) == {RULES, SCRAPE, ROUTES}
    assert all(text.startswith(f"{HEAD}\n# for digits x, artifact {'d' * 64}\n") for text in found.values())
    assert "# latency: p99=100ms, as given\n" in found[RULES]
    scrape = yaml.safe_load(found[SCRAPE])
    assert scrape["scrape_configs"][0]["static_configs"] == [{"targets": ["10.0.0.1:8000"]}]
    assert scrape["rule_files"] == [RULES]


def test_pages_and_tickets_have_a_way_each() -> None:
    routes = yaml.safe_load(files(WANTED)[ROUTES])
    assert {one["name"] for one in routes["receivers"]} == {"page", "ticket"}
    assert routes["route"]["routes"][0]["receiver"] == "page"


@pytest.mark.process
@pytest.mark.skipif(AMTOOL is None, reason="amtool is not installed (make prometheus)")
def test_amtool_finds_nothing_wrong_and_a_planted_misspelling(tmp_path: Path) -> None:
    def checked(text: str) -> int:
        (tmp_path / ROUTES).write_text(text)
        command = [str(AMTOOL), "check-config", str(tmp_path / ROUTES)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).returncode

    text = files(WANTED)[ROUTES]
    assert checked(text) == 0
    assert checked(text.replace("group_by", "groupby")) != 0
    assert checked(text.replace("receiver: page", "receiver: pager")) != 0


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1), ("inconclusive", 3)])
def test_the_verdict_is_a_metric(verdict: str, code: int) -> None:
    text = metrics('di"gits', "d" * 64, {"verdict": verdict, "live_rows": 12}, 1000.0)
    found = {one.name: one for one in samples(text, "here")}
    assert found["mlopt_monitor_verdict"].value == code
    assert found["mlopt_monitor_verdict"].labels == {"model": 'di"gits', "digest": "d" * 64}
    assert (found["mlopt_monitor_rows"].value, found["mlopt_monitor_time_seconds"].value) == (12, 1000)
