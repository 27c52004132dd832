"""The commands that make, check and judge a result again."""

from __future__ import annotations

import re
import shlex
from typing import Any

from mlopt.core.foreign_text import plain
from mlopt.report import facts
from mlopt.results.report import Report

_BENCH = "bench"
"""What ``mlopt bench`` calls its data."""


def commands(report: Report) -> tuple[str, ...]:
    """Return the commands that make, check and judge this result again."""
    if not report.steps and _BENCH in report.data:
        return (_bench_command(report),)
    if report.made_by is not None:
        made = " ".join(shlex.quote(plain(word)) for word in report.made_by.command)
        artifact = shlex.quote(plain(report.made_by.artifact))
    else:
        recipe, artifact = shlex.quote(f"{plain(report.name)}.yaml"), shlex.quote(f"artifacts/{plain(report.name)}")
        made = f"mlopt optimize {recipe}  # the recipe, with the Python and the data that it names"
    return (
        made,
        f"mlopt verify {artifact}",
        f"mlopt gate {artifact}",
    )


def _bench_command(report: Report) -> str:
    """``mlopt bench`` names a model by its path, and numbers one that was given before."""
    paths = [shlex.quote(plain(re.sub(r" \(\d+\)$", "", one.name))) for one in facts.models(report)]
    against = ["--against", paths[0]] if len(paths) > 1 else []
    source = report.data[_BENCH].get("source", "synthetic")
    data = [] if source == "synthetic" else ["--data", shlex.quote(plain(str(source)))]
    return " ".join(["mlopt bench", *paths[len(against) // 2 :], *against, *data, *_bench_load(report)])


def _bench_load(report: Report) -> list[str]:
    """Return the options of a load that is not the default, as far as all models were under the same."""
    measured = facts.models(report)
    loads: dict[str, list[Any]] = {
        "--threads": [one.options.get("threads") for one in measured],
        "--batch": [1 if one.batch_size is None else one.batch_size for one in measured],
        "--concurrency": [one.options.get("concurrency", 1) for one in measured],
    }
    usual = {"--batch": 1, "--concurrency": 1}
    same = {option: each[0] for option, each in loads.items() if all(one == each[0] for one in each)}
    return [f"{option} {value}" for option, value in same.items() if type(value) is int and value != usual.get(option)]
