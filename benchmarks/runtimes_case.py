"""One case of the benchmark of runtimes: its contenders made, judged, timed in one run, and described."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import runtimes_contenders as own
import runtimes_figures as figures
from precision_contenders import CONTROL, FP32, MLOPT, OPTIONS, Contender, FailedError
from precision_judge import Judge
from precision_models import BENCH, prepare
from precision_running import Race, interleaved, schedule

from mlopt.measure import statistics
from mlopt.results.environment import now
from mlopt.runtimes.base import Deployable

FIXED: dict[str, Any] = {"specialize": {"inputs": {"sr": 16000}}}
VOICE = "silero_vad"


@dataclass(frozen=True)
class Settings:
    """What a run is asked for: mlopt's target, and the timed seconds of each contender."""

    runtime: str
    seconds: float
    processes: int = 1
    """So many of each contender are timed, one after the other."""


@dataclass(frozen=True)
class Ours:
    """What mlopt came to, and all that it could have shipped, by name."""

    told: dict[str, Any]
    every: dict[str, Deployable]
    shipped: str = ""
    failed: str | None = None
    lost: str | None = None
    """Why ``every`` is not all."""
    spent: Mapping[str, float] = field(default_factory=dict)


def judge_of(name: str) -> Judge:
    """Prepare a case in a folder of this benchmark."""
    return Judge.of(prepare(name, BENCH / "runtimes" / name))


def run(name: str, settings: Settings) -> dict[str, Any]:
    """Make, judge and time all contenders of one case."""
    clock = Clock()
    judge = judge_of(name)
    clock.lap("preparing")
    contenders, rows = rivals(judge)
    clock.lap("rivals")
    ours = optimized(judge, own.passes(settings.runtime), settings)
    clock.lap("mlopt")
    deployables = {title: judged(judge, each) for title, each in ours.every.items()}
    rows[MLOPT] = {"failed": ours.failed} if ours.failed else dict(deployables[ours.shipped])
    clock.lap("judging")
    runs = {title: each for title, each in ours.every.items() if "failed" not in deployables[title]}
    race = raced(judge, contenders, runs, settings)
    clock.lap("racing")
    found = described(judge, rows, deployables, race, ours)
    timed = {"seconds": settings.seconds, "processes": settings.processes}
    return {"created": now(), **timed, "took_s": clock.laps, **found}


class Clock:
    """What each part of a case takes, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, name: str) -> None:
        """Note what it took since the last one."""
        now_ = time.monotonic()
        self.laps[name], self._since = round(now_ - self._since, 1), now_


def rivals(judge: Judge) -> tuple[dict[str, Contender], dict[str, dict[str, Any]]]:
    """Return the baseline, its copy and what other tools made, as far as they run; and a row for each and for mlopt."""
    contenders = {FP32: judge.fp32, CONTROL: judge.fp32}
    rows: dict[str, dict[str, Any]] = {FP32: {"quality": judge.of_fp32, "size_bytes": judge.fp32.size_bytes}, MLOPT: {}}
    for title, make in own.rivals(judge).items():
        try:
            contender, seconds = make()
            rows[title] = {**judge.row(contender), "made_in_s": seconds}
        except FailedError as error:
            rows[title] = {"failed": str(error)}
        else:
            contenders[title] = contender
    return contenders, rows


def optimized(judge: Judge, chain: list[Any], settings: Settings) -> Ours:
    """Let mlopt optimize a case; what goes wrong is told in the result."""
    try:
        done = own.by_mlopt(judge, chain, settings.runtime, settings.seconds)
    except FailedError as error:
        return Ours({}, {}, failed=str(error))
    try:
        every, lost = own.everything(done), None
    except FailedError as error:
        every, lost = {f"{own.SHIPPED}, {own.words(done.deployable)}": done.deployable}, str(error)
    shipped = next(name for name, each in every.items() if each.identity == done.deployable.identity)
    report = done.report
    told = {
        "verdict": report["verdict"],
        "seconds": round(done.seconds, 1),
        "steps": [{key: step[key] for key in ("pass", "status", "reason", "seconds")} for step in report["steps"]],
        "operators": report["operators"].get("final", []),
    }
    return Ours(told, every, shipped, lost=lost, spent=report.get("spent", {}))


def judged(judge: Judge, deployable: Deployable) -> dict[str, Any]:
    """Return how good one of mlopt's deployables is, or why it failed, and what it took to say."""
    started = time.monotonic()
    try:
        row = judge.row(Contender(MLOPT, deployable))
    except FailedError as error:
        row = {"failed": str(error)}
    return {**row, "runtime": deployable.runtime, "judged_in_s": round(time.monotonic() - started, 1)}


def raced(
    judge: Judge, contenders: Mapping[str, Contender], every: Mapping[str, Deployable], settings: Settings
) -> Race:
    """Time all of them in one run. A deployable that is the baseline itself has the baseline's blocks."""
    baseline = Deployable(judge.case.model, "onnxruntime", OPTIONS)
    same = {name for name, each in every.items() if each.identity == baseline.identity}
    others = {name: Contender(name, each) for name, each in every.items() if name not in same}
    race = interleaved(
        {**contenders, **others}, judge.case.evaluation, judge.evaluation, schedule(settings.seconds),
        settings.processes,
    )  # fmt: skip
    if gone := sorted({FP32, CONTROL} & set(race.lost)):
        raise SystemExit(f"{judge.case.name}: nothing can be compared, since {gone[0]} was lost: {race.lost[gone[0]]}")
    return Race(
        blocks={**race.blocks, **dict.fromkeys(same, race.blocks[FP32])},
        lost=race.lost,
        seconds={**race.seconds, **dict.fromkeys(same, race.seconds[FP32])},
    )


def described(
    judge: Judge, rows: dict[str, dict[str, Any]], deployables: dict[str, dict[str, Any]], race: Race, ours: Ours
) -> dict[str, Any]:
    """Put figures beside each contender, and say how mlopt stands."""
    case, shipped = judge.case, ours.shipped
    alike = {MLOPT: shipped} if shipped else {}
    blocks = {**race.blocks, **{name: race.blocks[of] for name, of in alike.items() if of in race.blocks}}
    lost = {**race.lost, **{name: race.lost[of] for name, of in alike.items() if of in race.lost}}
    for each in (rows, deployables):
        figures.timed(each, blocks, lost)
    whole = sum(row["judged_in_s"] + race.seconds.get(name, 0.0) for name, row in deployables.items())
    found: dict[str, Any] = {
        "model": {"digest": case.model.digest, "inputs": [str(spec) for spec in case.model.inputs]},
        "samples": {"calibration": case.calibration.count, "evaluation": case.evaluation.count},
        "bars": dict(judge.bars),
        "control": list(statistics.control(blocks[FP32], blocks[CONTROL])),
        "noise_floor": statistics.noise_floor(blocks[FP32], blocks[CONTROL]),
        "mlopt": {"shipped": shipped, **ours.told},
        "contenders": rows,
        "deployables": deployables,
        "cost": {"failed": ours.lost} if ours.lost else figures.cost(ours.spent, whole, len(deployables)),
    }
    found |= figures.compared(found, blocks)
    return found | {"in_the_way": figures.in_the_way(found)}


def specialized(settings: Settings) -> dict[str, Any]:
    """Return what fixing the rate makes of the voice detector, beside the model without that."""
    judge = judge_of(VOICE)
    ours = optimized(judge, [FIXED, *own.passes(settings.runtime)], settings)
    found: dict[str, Any] = {
        "created": now(),
        "seconds": settings.seconds,
        "bars": dict(judge.bars),
        "mlopt": {"shipped": ours.shipped, **ours.told},
    }
    if ours.failed:
        return found | {"failed": ours.failed}
    one = {MLOPT: ours.every[ours.shipped]}
    rows = {MLOPT: judged(judge, one[MLOPT])}
    race = raced(judge, {FP32: judge.fp32, CONTROL: judge.fp32}, one, settings)
    figures.timed(rows, race.blocks, race.lost)
    return found | rows[MLOPT] | {"noise_floor": statistics.noise_floor(race.blocks[FP32], race.blocks[CONTROL])}
