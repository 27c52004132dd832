"""One row of the comparison: every contender made or taken from what is kept, judged, and timed in one run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runtimes_contenders as own
import yaml
from precision_contenders import CONTROL, FP32, MLOPT, Contender, FailedError
from precision_judge import Judge
from precision_models import BENCH, prepare
from precision_running import Race, interleaved, schedule
from runtimes_case import Clock

from mlopt.measure import statistics
from mlopt.results.environment import now
from mlopt.runtimes.base import Deployable
from peers import figures
from peers.rivals import OPENED_LINES, Field, entered

KEPT = "kept"
MEASURE_SECONDS = 2.0
"""What mlopt's recipe says that measuring may take of each candidate."""


@dataclass(frozen=True)
class Settings:
    """What a run is asked for."""

    mlopt: str
    """``optimize`` or ``tune``, or ``kept`` for the artifact that an earlier run left."""
    budget: str
    """Of ``tune``."""
    seconds: float
    """Timed seconds of each contender in each process."""
    processes: int
    retry: bool
    """Whether rivals that failed before are tried once more."""

    @property
    def command(self) -> tuple[str, ...]:
        """mlopt's verb and options."""
        return ("tune", "--budget", self.budget, "--study", own.STUDY) if self.mlopt == "tune" else ("optimize",)


def prepared(name: str) -> Judge:
    """Return a row's source with its data, limits and reference."""
    return Judge.of(prepare(name, BENCH / "peers" / name, simplified=False))


def run(name: str, settings: Settings) -> dict[str, Any]:
    """Make, judge and time all contenders of one row."""
    clock = Clock()
    judge = prepared(name)
    clock.lap("preparing")
    field = entered(judge, retry=settings.retry)
    clock.lap("rivals")
    contenders, rows = started(judge, field)
    told, rows[MLOPT] = ours(judge, settings, contenders)
    clock.lap("mlopt")
    race = raced(judge, contenders, settings)
    clock.lap("racing")
    timed = {"seconds": settings.seconds, "processes": settings.processes}
    return {"created": now(), **timed, "took_s": clock.laps, **described(judge, rows, race, told)}


def started(judge: Judge, field: Field) -> tuple[dict[str, Contender], dict[str, dict[str, Any]]]:
    """Return all that runs and their rows, the baseline and its copy first."""
    baseline = {
        "quality": judge.of_fp32,
        "missed": [],
        "size_bytes": judge.fp32.size_bytes,
        "config_lines": OPENED_LINES,
        "made": {},
    }
    contenders = {FP32: judge.fp32, CONTROL: judge.fp32, **field.contenders}
    return contenders, {FP32: baseline, MLOPT: {}, **field.rows}


def ours(judge: Judge, settings: Settings, contenders: dict[str, Contender]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let mlopt make its artifact, and add it to the contenders; return what is told of it, and its row."""
    chain, folder = own.passes(own.AUTO), judge.case.folder
    try:
        if settings.mlopt != KEPT:
            own.by_mlopt(judge, chain, own.AUTO, MEASURE_SECONDS, settings.command)
            (folder / "command.json").write_text(json.dumps(settings.command), encoding="utf-8")
        deployable = own.verified_in(judge.case)
        contender = Contender(MLOPT, deployable)
        row = judge.row(contender)
    except FailedError as error:
        return {"shipped": None}, {"failed": str(error)}
    contenders[MLOPT] = contender
    row |= {"made": read(folder / "usage.json"), "config_lines": recipe_lines(folder / "recipe.yaml")}
    return told_of(folder, deployable), row


def told_of(folder: Path, deployable: Deployable) -> dict[str, Any]:
    """Return what is told of an artifact: how it was made, and what it ships."""
    report = read(folder / "artifact/report.json")
    digest, runtime = deployable.model.digest, deployable.runtime
    form = next((t["model"] for t in report["tried"] if (t["digest"], t["runtime"]) == (digest, runtime)), None)
    how = own.words(deployable)
    return {
        "command": read(folder / "command.json"),
        "verdict": report["verdict"],
        "shipped": f"{form}, {how}" if form else how,
        "runtime": runtime,
        "quantized": quantized(deployable.model.path),
        "steps": [{key: step[key] for key in ("pass", "status", "reason", "seconds")} for step in report["steps"]],
    }


def read(path: Path) -> Any:
    """Read a file of JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def quantized(path: Path) -> bool:
    """Say whether a model computes anything in integers that it was given in floats."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    return any("Quantize" in node.op_type or "QLinear" in node.op_type for node in graph.node)


def recipe_lines(path: Path) -> int:
    """Return the lines of a recipe, short lists and mappings in a line each, as one writes it by hand."""
    text = yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")), default_flow_style=None, width=120)
    return sum(bool(line.strip()) for line in text.splitlines())


def raced(judge: Judge, contenders: Mapping[str, Contender], settings: Settings) -> Race:
    """Time all of them in one run."""
    race = interleaved(
        contenders, judge.case.evaluation, judge.evaluation, schedule(settings.seconds), settings.processes
    )
    if gone := sorted({FP32, CONTROL} & set(race.lost)):
        raise SystemExit(f"{judge.case.name}: nothing can be compared, since {gone[0]} was lost: {race.lost[gone[0]]}")
    return race


def described(judge: Judge, rows: dict[str, dict[str, Any]], race: Race, told: dict[str, Any]) -> dict[str, Any]:
    """Put figures beside each contender, and say how mlopt stands."""
    case, blocks = judge.case, race.blocks
    figures.timed(rows, blocks, race.lost)
    floor = statistics.noise_floor(blocks[FP32], blocks[CONTROL])
    return {
        "model": {"digest": case.model.digest, "inputs": [str(spec) for spec in case.model.inputs]},
        "samples": {"calibration": case.calibration.count, "evaluation": case.evaluation.count},
        "bars": dict(judge.bars),
        "control": list(statistics.control(blocks[FP32], blocks[CONTROL])),
        "noise_floor": floor,
        "mlopt": told,
        "contenders": rows,
        "against_best": figures.beside_rivals(rows, blocks, floor),
    }
