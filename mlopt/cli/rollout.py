"""``mlopt rollout``: a candidate beside what serves, judged there, promoted or rolled back by digest, and logged."""

from __future__ import annotations

import typer

from mlopt.cli.rollout_analyze import analyze
from mlopt.cli.rollout_envoy import envoy_config
from mlopt.cli.rollout_log import log, summary
from mlopt.cli.rollout_registry import pull, push, tag
from mlopt.cli.rollout_steps import hold, promote, rollback, start, status

app = typer.Typer(help="Promote, judge and roll back what serves, by digest.", no_args_is_help=True)

for _verb in (start, analyze, promote, hold, rollback, status, log, summary, push, pull, tag):
    app.command()(_verb)
app.command("envoy-config")(envoy_config)
