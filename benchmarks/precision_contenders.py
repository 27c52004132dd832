"""The contenders of the precision benchmark: how mlopt and each other tool makes its model, wherever it lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from precision_models import BENCH, ROOT, Case, save
from precision_quality import gates

from mlopt.artifact.deployed import stated_options
from mlopt.artifact.layout import read_manifest
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

SCRIPTS = Path(__file__).with_name("precision_peers")
THREADS = 2
OPTIONS = OnnxRuntimeOptions(threads=THREADS)
FP32, MLOPT, OPENVINO_FP32 = "FP32", "mlopt auto", "OpenVINO FP32"
TOOL_SECONDS = 1800.0
"""After so long a tool counts as hanging."""


@dataclass(frozen=True)
class Peer:
    """Another tool; its script writes a file that ends in ``suffix``."""

    name: str
    script: str
    how: str
    environment: str | None = None
    """A folder of ``.bench``; None for mlopt's own."""
    suffix: str = ".onnx"

    @property
    def python(self) -> Path:
        """The interpreter that has the tool."""
        return Path(sys.executable) if self.environment is None else BENCH / self.environment / "bin/python"


PEERS = (
    Peer("ONNX Runtime dynamic", "onnxruntime_defaults.py", "dynamic"),
    Peer("ONNX Runtime static", "onnxruntime_defaults.py", "static"),
    Peer("Olive dynamic", "olive_onnx.py", "dynamic", "olive"),
    Peer("Olive static", "olive_onnx.py", "static", "olive"),
    Peer("NNCF + OpenVINO INT8", "nncf_openvino.py", "cnn", "nncf", ".xml"),
)


@dataclass(frozen=True)
class Contender:
    """A model that can be judged and timed; ``remote`` is the interpreter that runs it, None for this one."""

    name: str
    path: Path
    options: RuntimeOptions = OPTIONS
    remote: Path | None = None

    @property
    def size_bytes(self) -> int:
        """Its weights too, where they are in a file beside it (``.bin``, ``.data``)."""
        return sum(
            file.stat().st_size for file in self.path.parent.glob(f"{self.path.stem}.*") if file.suffix != ".log"
        )


class FailedError(Exception):
    """A contender could not be made, or not be run; the message is the last line of what was said."""


def by_peer(peer: Peer, case: Case, calibration: Path) -> Contender:
    """Let another tool quantize the case; raises ``FailedError``."""
    out = case.folder / (peer.name.replace(" ", "_") + peer.suffix)
    out.unlink(missing_ok=True)
    how = "transformer" if peer.suffix == ".xml" and case.transformer else peer.how
    arguments = [peer.python, SCRIPTS / peer.script, how, case.model.path, calibration, out]
    _said(arguments, case.folder, out.with_suffix(".log"))
    return Contender(peer.name, out, remote=peer.python if peer.suffix == ".xml" else None)


def by_mlopt(case: Case, of_fp32: Mapping[str, float], seconds: float) -> tuple[Contender, dict[str, Any]]:
    """Let ``mlopt optimize`` quantize the case under the bars that all are held to; return its report too.

    ``seconds`` is what it measures each of its own candidates for. Nothing comes from the cache, so that the time is
    what a first run takes. Raises ``FailedError``.
    """
    recipe, out = case.folder / "recipe.yaml", case.folder / "artifact"
    text = yaml.safe_dump(_recipe(case, of_fp32) | {"measure": {"seconds": seconds}}, sort_keys=False)
    recipe.write_text(text, encoding="utf-8")
    options = ("--output", out, "--no-sign", "--no-cache", "--json", "--allow-code")
    command = [sys.executable, "-m", "mlopt", "optimize", recipe, *options]
    text = _said(command, case.folder, case.folder / "mlopt.log", verdicts=(0, 1, 3))
    manifest = read_manifest(out)
    return Contender(MLOPT, out / manifest.model.file, stated_options(out, manifest)), json.loads(text)


def _recipe(case: Case, of_fp32: Mapping[str, float]) -> dict[str, Any]:
    """Return the recipe: nothing but ``simplify`` and ``quantize: auto``, with the bars as its gates."""
    for name, dataset in (("calibration", case.calibration), ("evaluation", case.evaluation)):
        labels = {} if dataset.labels is None else {"labels": dataset.labels}
        save(case.folder / f"{name}.npz", {**dataset.inputs, **labels})
    metric = case.scores[0] if case.scores else "fidelity"
    if metric not in {"accuracy", "agreement", "fidelity"}:
        code = os.path.relpath(Path(__file__).with_name("precision_quality.py"), case.folder)
        metric = f"{code}:{metric}"
    return {
        "apiVersion": "mlopt/v1",
        "name": case.name,
        "model": {"source": case.model.path.name},
        "data": {name: {"source": f"{name}.npz"} for name in ("calibration", "evaluation")},
        "metric": {"name": metric},
        "target": {"runtime": "onnxruntime", "device": "cpu", "threads": THREADS, "batch_size": 1},
        "objective": "latency",
        "passes": ["simplify", {"quantize": {"mode": "auto", "optional": True}}],
        "gates": gates(case.scores, of_fp32),
    }


def _said(command: Sequence[object], folder: Path, log: Path, verdicts: tuple[int, ...] = (0,)) -> str:
    """Run a tool in ``folder`` and return what it printed; raises ``FailedError`` with its last line."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    quiet = {"CI": "1", "OLIVE_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}
    if not Path(str(command[0])).exists():
        raise FailedError(f"{command[0]} is not there: `make precision` makes it")
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                [str(part) for part in command], cwd=folder, env=os.environ | quiet | {"PYTHONPATH": path}, text=True,
                stdout=subprocess.PIPE, stderr=stream, check=False, timeout=TOOL_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"it did not end within {TOOL_SECONDS:.0f} s") from error
    if done.returncode not in verdicts:
        raise FailedError(last_line(log.read_text(encoding="utf-8", errors="replace")) or f"code {done.returncode}")
    return done.stdout


def last_line(text: str) -> str:
    """Return the last line that says something, at most 300 characters of it."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return next(filter(None, reversed(lines)), "")[:300]
