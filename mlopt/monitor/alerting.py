"""The files that Prometheus and Alertmanager start with, for one artifact in service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlopt.core.foreign_text import plain
from mlopt.monitor.objectives import Objectives
from mlopt.monitor.rules import rules

HEAD = "# Written by mlopt monitor"
RULES, SCRAPE, ROUTES = "mlopt.rules.yml", "prometheus.yml", "alertmanager.yml"
TARGET = "127.0.0.1:8000"
_ALERTMANAGER = "127.0.0.1:9093"
_EDIT = "# Receivers are names alone: add how each is reached (webhook_configs, email_configs, pagerduty_configs)."


def files(wanted: Objectives, target: str = TARGET) -> dict[str, str]:
    """Return the text of each file by its name; ``target`` is HOST:PORT of the server."""
    return {
        RULES: _text(rules(wanted), wanted, *wanted.reasons),
        SCRAPE: _text(_scrape(target), wanted),
        ROUTES: f"{_text(_routes(), wanted)}{_EDIT}\n",
    }


def _text(content: Mapping[str, Any], wanted: Objectives, *reasons: str) -> str:
    import yaml

    said = (f"for {wanted.model}, artifact {wanted.digest}", *reasons)
    comments = "".join(f"# {plain(each)}\n" for each in said)
    return f"{HEAD}\n{comments}{yaml.safe_dump(dict(content), sort_keys=False, width=1000)}"


def _scrape(target: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_ALERTMANAGER]}]}]},
        "scrape_configs": [{"job_name": "mlopt", "static_configs": [{"targets": [target]}]}],
    }


def _routes() -> dict[str, Any]:
    """Page for what users notice now, a ticket for the rest; one alert of a model at a time."""
    return {
        "route": {
            "receiver": "ticket", "group_by": ["alertname", "model"], "group_wait": "30s", "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [{"receiver": "page", "matchers": ['severity="page"'], "repeat_interval": "1h"}],
        },
        "inhibit_rules": [
            {"source_matchers": ['alertname="MloptDown"'], "target_matchers": ['alertname="MloptNotServing"']},
            {"source_matchers": ['severity="page"'], "target_matchers": ['severity="ticket"'],
             "equal": ["alertname", "model"]},
        ],
        "receivers": [{"name": "page"}, {"name": "ticket"}],
    }  # fmt: skip


def metrics(model: str, digest: str, found: Mapping[str, Any], at: float) -> str:
    """Return the verdict for Prometheus's text file collector; ``found`` is ``Monitored.document()``, ``at`` seconds.

    The verdict is the exit code: 0, 1 or 3.
    """
    return "".join(_samples(model, digest, found, at))


def _samples(model: str, digest: str, found: Mapping[str, Any], at: float) -> Iterator[str]:
    from mlopt.monitor.rules import quoted

    labels = f"{{model={quoted(model)},digest={quoted(digest)}}}"
    codes = {"pass": 0, "fail": 1, "inconclusive": 3}
    series = (
        ("mlopt_monitor_verdict", "0 pass, 1 fail, 3 inconclusive", codes[found["verdict"]]),
        ("mlopt_monitor_time_seconds", "When it was looked at", f"{at:.0f}"),
        ("mlopt_monitor_rows", "Live rows that were sketched", found["live_rows"]),
    )
    for name, told, value in series:
        yield f"# HELP {name} {told}.\n# TYPE {name} gauge\n{name}{labels} {value}\n"
