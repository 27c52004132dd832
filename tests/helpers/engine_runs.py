"""An artifact deployed by `mlopt deploy` and really served, on any engine that can be kept to the loopback.

``embedded`` is mlopt's own server, `mlopt serve`, which is started on the artifacts as they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deployed
import engine_homes

SERVERS = ("triton", "bentoml", "fastapi", "embedded")


@dataclass(frozen=True)
class Asked:
    """What is to be served, and how."""

    artifacts: Sequence[Path]
    slo_ms: int = 30_000
    """Long: where a deadline is met is the subject of other tests."""
    max_batch: int | None = None
    more: Sequence[str] = ()
    """Options of `mlopt serve` alone."""
    names: Sequence[str] = ()
    """Models that answer beside the artifacts' own: an ensemble."""


@dataclass(frozen=True)
class ServedBy:
    """A server that is ready."""

    engine: str
    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int

    def path(self, model: str) -> str:
        return f"/infer/{model}" if self.engine == "bentoml" else f"/v2/models/{model}/infer"

    def infer(self, model: str, feeds: Any) -> Any:
        """Return the answer to a request that must succeed, as the protocol has it in JSON."""
        body = deployed.infer_body(feeds)
        listed = self.engine == "bentoml"
        code, answer, _ = deployed.ask(self.port, self.path(model), {"requests": [body]} if listed else body)
        assert code == 200, (code, answer)
        found = answer[0] if listed else answer
        assert "outputs" in found, found
        return found

    def executions(self, model: str) -> float:
        """Return how many inferences of a model were counted by the code that runs it."""
        text = deployed.ask(self.metrics_port, "/metrics")[1]
        found = [
            line for line in text.splitlines()
            if line.startswith("mlopt_executions_total") and f'model="{model}"' in line
        ]  # fmt: skip
        return sum(float(line.split()[-1]) for line in found)


@contextmanager
def served(engine: str, out: Path, asked: Asked) -> Iterator[ServedBy]:
    """Deploy to ``out``, with the one command, and serve; skips the test where the engine is not installed."""
    if engine != "embedded":
        engine_homes.home(engine)
        _deploy(engine, out, asked)
    names = [*(each.name for each in asked.artifacts), *(asked.names if engine in ("triton", "bentoml") else ())]
    ready = [f"/v2/models/{name}/ready" for name in names]
    ports = [deployed.free_port() for _ in range(3)]
    command, env = _started(engine, out, ports, asked)
    with deployed.running(command, out, ports[0], ready, seconds=150, **env) as process:
        yield ServedBy(engine, process, ports[0], ports[2] if engine == "triton" else ports[0])


def _deploy(engine: str, out: Path, asked: Asked) -> None:
    batch = () if asked.max_batch is None else ("--max-batch", str(asked.max_batch))
    command = [
        sys.executable, "-m", "mlopt", "deploy", *map(str, asked.artifacts), "--to", engine, "-o", str(out), "--slo",
        f"p99={asked.slo_ms}ms", *batch,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def _started(engine: str, out: Path, ports: Sequence[int], asked: Asked) -> tuple[list[str], dict[str, str]]:
    port = str(ports[0])
    if engine == "embedded":
        out.mkdir()
        return _embedded(port, asked), {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    home = engine_homes.home(engine)
    if engine == "fastapi":
        return [str(home / "bin" / "python"), "app.py", "--port", port], {}
    if engine == "triton":
        names = zip(("HTTP_PORT", "GRPC_PORT", "METRICS_PORT"), map(str, ports), strict=True)
        return ["./start.sh"], {"PYTHON": str(home / "bin" / "python"), **dict(names)}
    command = [str(home / "bin" / "bentoml"), "serve", "service:Models", "--host", "127.0.0.1", "--port", port]
    around = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(out.parent / f"{out.name}.bentoml")}
    return command, {"PATH": f"{home / 'bin'}:/usr/bin:/bin", **around}


def _embedded(port: str, asked: Asked) -> list[str]:
    batch = () if asked.max_batch is None else ("--max-batch", str(asked.max_batch))
    return [
        sys.executable, "-m", "mlopt", "serve", *(str(each.resolve()) for each in asked.artifacts), "--port", port,
        "--deadline-ms", str(asked.slo_ms), *batch, *asked.more,
    ]  # fmt: skip
