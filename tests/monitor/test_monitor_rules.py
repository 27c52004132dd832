"""The rules: each alert fires where it should and nowhere else, by Prometheus's own tool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring_tools import tool

from mlopt.monitor.alerting import RULES, files
from mlopt.monitor.objectives import Objectives
from mlopt.monitor.rules import quoted, rules

WANTED = Objectives("digits", "d" * 64, 0.1, 50, 0.999, ("latency: as given",))
PROMTOOL = tool("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (make prometheus)")


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def alerts() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for group in rules(WANTED)["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                found.setdefault(rule["alert"], []).append(rule)
    return found


def test_every_alert_has_a_severity_and_says_what_it_is() -> None:
    found = alerts()
    assert set(found) == {"MloptErrorBudget", "MloptLatencyBudget", "MloptQueue", "MloptDown", "MloptNotServing",
                          "MloptDrift", "MloptNotMonitored"}  # fmt: skip
    for rule in (each for group in found.values() for each in group):
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert "digits" not in rule["annotations"]["summary"], "names come from labels, which are no templates"


def test_limits_are_those_of_the_objectives() -> None:
    found = alerts()
    assert "> 0.0144 and" in found["MloptErrorBudget"][0]["expr"]
    assert "> 0.144 and" in found["MloptLatencyBudget"][0]["expr"]
    assert found["MloptQueue"][0]["expr"].endswith("> 50")
    recorded = [rule for rule in rules(WANTED)["groups"][0]["rules"] if "slow" in rule["record"]]
    assert all('le="0.1"' in rule["expr"] for rule in recorded)


def test_a_name_cannot_leave_its_string() -> None:
    assert quoted('a"} or vector(1) #\\\n') == '"a\\"} or vector(1) #\\\\\\n"'


@needs_promtool
@pytest.mark.process
@pytest.mark.parametrize("model", ["digits", 'a"} or vector(1) #', "back\\slash {{ $value }}"])
def test_promtool_finds_nothing_wrong(tmp_path: Path, model: str) -> None:
    wanted = Objectives(model, WANTED.digest, 0.1, 50, 0.999, ())
    for name, text in files(wanted).items():
        (tmp_path / name).write_text(text)
    checked = promtool("check", "rules", tmp_path / RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "27 rules found" in checked.stdout + checked.stderr
    config = promtool("check", "config", tmp_path / "prometheus.yml")
    assert config.returncode == 0, config.stdout + config.stderr


@needs_promtool
@pytest.mark.process
def test_a_planted_misspelling_is_found(tmp_path: Path) -> None:
    (tmp_path / RULES).write_text(files(WANTED)[RULES].replace("sum by (model) (rate(", "sum by (model) (rat(", 1))
    assert promtool("check", "rules", tmp_path / RULES).returncode != 0


def series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f'{name}{{model="digits",digest="d"{labels}}}', "values": values}


def healthy(errors: str = "0x240", slow: int = 0) -> list[dict[str, str]]:
    """Ten requests a minute, for four hours."""
    fast = 10 - slow
    return [
        series("mlopt_requests_total", ',code="200"', "0+10x240"),
        series("mlopt_requests_total", ',code="503"', errors),
        series("mlopt_request_seconds_bucket", ',le="0.1"', f"0+{fast}x240"),
        series("mlopt_request_seconds_bucket", ',le="+Inf"', "0+10x240"),
        series("mlopt_request_seconds_count", "", "0+10x240"), series("mlopt_weight", "", "1x240"),
        {"series": 'mlopt_queue_rows{model="digits"}', "values": "3x240"},
        {"series": 'up{job="mlopt",instance="here"}', "values": "1x240"},
    ]  # fmt: skip


def fired(tmp_path: Path, given: list[dict[str, str]], name: str) -> bool:
    """Ask promtool whether an alert fires after four hours: it is asked to find none, and says if there is one."""
    (tmp_path / RULES).write_text(files(WANTED)[RULES])
    asked = {"rule_files": [RULES], "evaluation_interval": "1m", "tests": [{
        "interval": "1m", "input_series": given,
        "alert_rule_test": [{"eval_time": "4h", "alertname": name, "exp_alerts": []}],
    }]}  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(asked))
    found = promtool("test", "rules", tmp_path / "test.yml")
    said = found.stdout + found.stderr
    if found.returncode:
        assert f"alertname:{name}" in said.replace(" ", "").replace("=", ":").replace('"', ""), said
    return found.returncode != 0


@needs_promtool
@pytest.mark.process
@pytest.mark.slow
def test_each_alert_fires_on_what_it_is_for_and_not_on_health(tmp_path: Path) -> None:
    for name in ("MloptErrorBudget", "MloptLatencyBudget", "MloptQueue", "MloptDown", "MloptNotServing", "MloptDrift"):
        assert not fired(tmp_path, healthy(), name), name
    assert fired(tmp_path, healthy(errors="0+1x240"), "MloptErrorBudget")
    assert fired(tmp_path, healthy(slow=5), "MloptLatencyBudget")
    queued = [one for one in healthy() if "queue" not in one["series"]]
    assert fired(tmp_path, [*queued, {"series": 'mlopt_queue_rows{model="digits"}', "values": "90x240"}], "MloptQueue")
    down = [one for one in healthy() if not one["series"].startswith("up")]
    assert fired(tmp_path, [*down, {"series": 'up{job="mlopt",instance="here"}', "values": "0x240"}], "MloptDown")
    idle = [one for one in healthy() if "weight" not in one["series"]]
    assert fired(tmp_path, [*idle, series("mlopt_weight", "", "0x240")], "MloptNotServing")
    drift = {"series": 'mlopt_monitor_verdict{model="digits",digest="d"}', "values": "1x240"}
    assert fired(tmp_path, [*healthy(), drift], "MloptDrift")
