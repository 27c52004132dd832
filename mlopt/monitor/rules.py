"""Rules for Prometheus: alerts on how fast the error budget is spent, on drift, the queue, and on nobody serving.

A budget is watched over two windows each, a long one that it is worth waking somebody for, and a short one that shows
whether it still goes on. Source: Google's SRE Workbook, chapter 5 (https://sre.google/workbook/alerting-on-slos).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlopt.monitor.objectives import FAST_SHARE, Objectives

Rule = dict[str, Any]
_BURNS = (
    (14.4, "1h", "5m", "page"),
    (6.0, "6h", "30m", "page"),
    (3.0, "1d", "2h", "ticket"),
    (1.0, "3d", "6h", "ticket"),
)
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_STALE_DAYS = 8
RUNBOOK = "docs/monitor.md of mlopt says what each alert means"


def rules(wanted: Objectives) -> dict[str, Any]:
    """Return the file of rules, for YAML."""
    return {"groups": [
        {"name": "mlopt-ratios", "rules": [*_ratios(wanted)]},
        {"name": "mlopt-alerts", "rules": [*_budgets(wanted), *_others(wanted)]},
    ]}  # fmt: skip


def _ratios(wanted: Objectives) -> Iterator[Rule]:
    """Record the shares of requests that failed, and that were slow, over each window."""
    model = f"model={quoted(wanted.model)}"
    bucket = f'mlopt_request_seconds_bucket{{{model},le="{wanted.latency_s!r}"}}'
    for window in _WINDOWS:
        every = f"sum by (model) (rate(mlopt_requests_total{{{model}}}[{window}]))"
        bad = f'sum by (model) (rate(mlopt_requests_total{{{model},code=~"5.."}}[{window}]))'
        yield {"record": f"model:mlopt_errors:ratio_rate{window}", "expr": f"({bad} or 0 * {every}) / ({every} > 0)"}
        timed = f"sum by (model) (rate(mlopt_request_seconds_count{{{model}}}[{window}]))"
        fast = f"sum by (model) (rate({bucket}[{window}]))"
        yield {"record": f"model:mlopt_slow:ratio_rate{window}", "expr": f"1 - {fast} / ({timed} > 0)"}


def _budgets(wanted: Objectives) -> Iterator[Rule]:
    kinds = (
        ("MloptErrorBudget", "errors", 1 - wanted.availability, "requests fail (5xx)"),
        ("MloptLatencyBudget", "slow", 1 - FAST_SHARE, f"requests take more than {wanted.latency_s:g} s"),
    )
    model = f"{{model={quoted(wanted.model)}}}"
    for name, series, budget, told in kinds:
        for times, long, short, severity in _BURNS:
            limit = f"{times * budget:.6g}"
            yield alert(
                name, f"model:mlopt_{series}:ratio_rate{long}{model} > {limit} "
                f"and model:mlopt_{series}:ratio_rate{short}{model} > {limit}",
                {"severity": severity, "window": long},
                f"{{{{ $value | humanizePercentage }}}} of the {told}: the budget is spent {times:g} times too fast",
            )  # fmt: skip


def _others(wanted: Objectives) -> Iterator[Rule]:
    model = f"model={quoted(wanted.model)}"
    yield alert("MloptQueue", f"max by (model) (mlopt_queue_rows{{{model}}}) > {wanted.queue_rows}",
                {"severity": "page"}, "{{ $value | humanize }} rows wait: more than is computed within the limit",
                "5m")  # fmt: skip
    yield alert("MloptDown", 'up{job="mlopt"} == 0', {"severity": "page"}, "{{ $labels.instance }} does not answer",
                "2m")  # fmt: skip
    yield alert("MloptNotServing", f"absent(mlopt_weight{{{model}}} > 0)", {"severity": "page"},
                "no version of the model has any weight", "2m")  # fmt: skip
    yield alert("MloptDrift", f"mlopt_monitor_verdict{{{model}}} == 1", {"severity": "ticket"},
                "live data are not those that the model was judged on: mlopt monitor tells more")  # fmt: skip
    yield alert("MloptNotMonitored", f"time() - mlopt_monitor_time_seconds{{{model}}} > {_STALE_DAYS * 86400}",
                {"severity": "ticket"}, f"mlopt monitor has not run for {_STALE_DAYS} days")  # fmt: skip


def alert(name: str, expr: str, labels: Mapping[str, str], told: str, for_: str | None = None) -> Rule:
    """Return one rule that raises an alert."""
    found: Rule = {"alert": name, "expr": expr}
    if for_ is not None:
        found["for"] = for_
    return found | {"labels": dict(labels), "annotations": {"summary": told, "runbook": RUNBOOK}}


def quoted(text: str) -> str:
    """Return text as a string of PromQL."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
