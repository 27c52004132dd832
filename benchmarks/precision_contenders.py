"""The contenders of both benchmarks, of precision and of runtimes: how mlopt and each other tool makes its model."""

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

from mlopt.artifact.deployed import shipped
from mlopt.artifact.layout import read_manifest
from mlopt.core.errors import MloptError
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

SCRIPTS = Path(__file__).parent / "peers/tools"
REQUIREMENTS = Path(__file__).with_name("precision_requirements")
QUIET = {"CI": "1", "OLIVE_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore",
         "PRUNA_METRICS_ENABLED": "false", "HF_HUB_OFFLINE": "1"}  # fmt: skip
THREADS = 2
OPTIONS = OnnxRuntimeOptions(threads=THREADS)
FP32, MLOPT, OPENVINO_FP32 = "FP32", "mlopt auto", "OpenVINO FP32"
CONTROL = f"{FP32} (again)"
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
class Elsewhere:
    """A model in another interpreter; ``mode`` is what its server, one of ``SCRIPTS``, takes."""

    python: Path
    path: Path
    mode: str = "default"
    server: str = "openvino_server.py"

    @property
    def size_bytes(self) -> int:
        """Its weights too, where they are in a file beside it (``.bin``); a folder's are all that is in it."""
        files = {*self.path.rglob("*")} if self.path.is_dir() else {self.path, self.path.with_suffix(".bin")}
        return sum(file.stat().st_size for file in files if file.is_file())


@dataclass(frozen=True)
class Contender:
    """What can be judged and timed: here, or elsewhere."""

    name: str
    runs: Deployable | Elsewhere

    @property
    def size_bytes(self) -> int:
        """What its files take."""
        return self.runs.size_bytes if isinstance(self.runs, Elsewhere) else self.runs.model.size_bytes


class FailedError(Exception):
    """A contender could not be made, or not be run; the message is the last line of what was said."""


def in_onnxruntime(name: str, model: Model) -> Contender:
    """Return an ONNX model in ONNX Runtime as it comes."""
    return Contender(name, Deployable(model, "onnxruntime", OPTIONS))


def by_peer(peer: Peer, case: Case, calibration: Path) -> Contender:
    """Let another tool quantize the case; raises ``FailedError``."""
    out = output_of(peer, case)
    out.unlink(missing_ok=True)
    how = "transformer" if peer.suffix == ".xml" and case.transformer else peer.how
    arguments = [peer.python, SCRIPTS / peer.script, how, case.model.path, calibration, out]
    said(arguments, case.folder, out.with_suffix(".log"))
    return made_by(peer, out)


def output_of(peer: Peer, case: Case) -> Path:
    """Return where another tool's model of a case lies."""
    return case.folder / (peer.name.replace(" ", "_") + peer.suffix)


def made_by(peer: Peer, out: Path) -> Contender:
    """Open what another tool made; raises ``FailedError``."""
    if peer.suffix == ".xml":
        return Contender(peer.name, Elsewhere(peer.python, out))
    try:
        return in_onnxruntime(peer.name, open_onnx(out))
    except MloptError as error:
        raise FailedError(" ".join(str(error).split())[:300]) from error


def by_mlopt(case: Case, of_fp32: Mapping[str, float], seconds: float) -> tuple[Contender, dict[str, Any]]:
    """Let ``mlopt optimize`` quantize the case under the bars that all are held to; return its report too.

    Nothing comes from the cache, so that the time is what a first run takes. Raises ``FailedError``.
    """
    passes = ["simplify", {"quantize": {"mode": "auto", "optional": True}}]
    path, out = written(recipe(case, of_fp32, passes, "onnxruntime", seconds), case), case.folder / "artifact"
    report = optimized(path, out, "--no-sign", "--no-cache")
    return Contender(MLOPT, shipped(out, read_manifest(out))), report


def recipe(case: Case, of_fp32: Mapping[str, float], passes: list[Any], runtime: str, seconds: float) -> dict[str, Any]:
    """Return a recipe for the case with the bars as its gates.

    ``seconds`` is what mlopt measures each of its own candidates for.
    """
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
        "target": {"runtime": runtime, "device": "cpu", "threads": THREADS, "batch_size": 1},
        "objective": "latency",
        "passes": passes,
        "gates": gates(case.scores, of_fp32),
        "measure": {"seconds": seconds},
    }


def written(recipe: Mapping[str, Any], case: Case) -> Path:
    """Write a recipe with its data beside it."""
    for name, dataset in (("calibration", case.calibration), ("evaluation", case.evaluation)):
        labels = {} if dataset.labels is None else {"labels": dataset.labels}
        save(case.folder / f"{name}.npz", {**dataset.inputs, **labels})
    path = case.folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")
    return path


def optimized(
    recipe: Path, out: Path, *options: object, cache: Path | None = None, verb: str = "optimize",
    usage: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run ``mlopt optimize``, or another verb that leaves an artifact; return its report, whatever its gates say.

    Raises ``FailedError``. ``usage`` is as in ``said``.
    """
    command = [sys.executable, "-m", "mlopt", verb, recipe, "--output", out, "--json", "--allow-code", *options]
    more = {"MLOPT_CACHE": str(cache)} if cache else {}
    log = recipe.with_name("mlopt.log")
    try:
        said(command, recipe.parent, log, verdicts=(0, 1, 3), more=more, usage=usage)
    except FailedError as error:
        _, found, cause = log.read_text(encoding="utf-8", errors="replace").rpartition("\nerror: ")
        raise FailedError(" ".join(cause.split())[:300] if found else str(error)) from error
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return report


def said(
    command: Sequence[object],
    folder: Path,
    log: Path,
    verdicts: tuple[int, ...] = (0,),
    more: Mapping[str, str] | None = None,
    usage: Path | None = None,
) -> str:
    """Run a tool in ``folder`` and return what it printed; raises ``FailedError`` with its last line.

    ``usage`` is a file that gets what it took, as ``measured.py`` writes it.
    """
    if not Path(str(command[0])).exists():
        raise FailedError(f"{command[0]} is not there: `make .bench/{Path(str(command[0])).parts[-3]}/.installed`")
    limit = TOOL_SECONDS + (60 if usage else 0)  # what measures has to end first
    measured = [sys.executable, "-S", SCRIPTS / "measured.py", usage, TOOL_SECONDS] if usage else []
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                [str(part) for part in (*measured, *command)], cwd=folder, env=surroundings(command[0], more or {}),
                text=True, stdout=subprocess.PIPE, stderr=stream, check=False, timeout=limit,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"it did not end within {TOOL_SECONDS:.0f} s") from error
    if usage and done.returncode == 124:
        raise FailedError(f"it did not end within {TOOL_SECONDS:.0f} s")
    if done.returncode not in verdicts:
        raise FailedError(last_line(log.read_text(encoding="utf-8", errors="replace")) or f"code {done.returncode}")
    return done.stdout


def surroundings(python: object, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for an interpreter; only mlopt's own sees what ``PYTHONPATH`` adds to it."""
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | QUIET | dict(more)
    if str(python) != sys.executable:
        return own
    return own | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def versions(environments: Mapping[str, Path]) -> dict[str, str]:
    """Return the versions of what each environment was made for, by package: its interpreter is given by its name."""
    ask = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    found: dict[str, str] = {}
    for environment, python in environments.items():
        lines = (REQUIREMENTS / f"{environment}.txt").read_text(encoding="utf-8").split()
        names = [line.partition("==")[0] for line in lines]
        if not python.exists():
            raise SystemExit(f"{python} is not there: `make precision` makes it")
        done = subprocess.run(
            [python, "-c", ask, *names], capture_output=True, text=True, check=True, env=surroundings(python, {})
        )
        found |= {f"{name} ({environment})": value for name, value in json.loads(done.stdout).items()}
    return found


def last_line(text: str) -> str:
    """Return the last line that says something, at most 300 characters of it."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return next(filter(None, reversed(lines)), "")[:300]
