"""How far is what a search finds from the best that there is? A space small enough to be measured whole says so.

python benchmarks/tune_regret.py [--output FILE]

The case is efficientnet_lite0 with the space of ``VARYING``, at least 60 points. Each point is measured, in order
(`mlopt tune --exhaustive`), with a cache of its own; then `mlopt tune` searches the same space from an empty cache, in
a third of the time that took. The best models of both are timed in one interleaved run, beside a second copy of the
first. The regret is what the search's best is slower by; that of the recipe as it stands is told beside it.

A run takes about half an hour on a quiet machine, and is stored in benchmarks/results/tune_regret.json. The exit code
is 1 if the space has fewer points, the search took longer than a third, or its interval lies wholly beyond 3 %.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from precision_figures import RESULTS, store

from mlopt.core.hardware import detect
from mlopt.data.dataset import open_dataset
from mlopt.measure import compare, statistics
from mlopt.measure.candidate import Candidate
from mlopt.measure.schedule import Schedule
from mlopt.report import study as studies
from mlopt.results.environment import environment, now
from mlopt.results.study import StudyRecord
from mlopt.runtimes.base import Deployable
from mlopt.tune.keeping import kept

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".bench/tune_regret"
SETTINGS = (
    "passes.quantize.mode=static", "target.runtime=onnxruntime", "measure.seconds=1", "data.calibration.limit=64",
)  # fmt: skip
VARYING = (
    "passes.quantize.calibration", "passes.quantize.keep_first", "passes.quantize.bias_correction", "passes.fuse",
    "passes.simplify",
)  # fmt: skip
POINTS, SHARE, REGRET = 60, 1 / 3, 0.03
_SECONDS, _ROUNDS, _LEAST = 4.0, 20, 60


def main() -> None:
    """Measure the space, search it, compare, store, and say whether all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "tune_regret.json")
    parser.add_argument("--searches", type=int, default=2, help="searches, each with a seed of its own")
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    whole, seconds = tuned("whole", "--exhaustive", "--budget", "24h")
    found: dict[str, Any] = {
        "created": now(), "environment": environment(detect()).model_dump(mode="json"), "only": list(VARYING),
        "settings": list(SETTINGS), "points": len(whole.trials), "whole_s": round(seconds, 1), "searches": [],
    }  # fmt: skip
    for seed in range(options.searches):
        found["searches"].append(searched(seed, seconds * SHARE, whole))
    found["own"] = regret("whole/own")
    store(found, options.output)
    wrong = list(unmet(found))
    print(json.dumps({key: value for key, value in found.items() if key != "environment"}, indent=1))
    print("\n".join(wrong) or "all as it must be")
    sys.exit(1 if wrong else 0)


def searched(seed: int, budget: float, whole: StudyRecord) -> dict[str, Any]:
    """Search once, from an empty cache, and hold its best against that of the whole space."""
    study, seconds = tuned(f"search-{seed}", "--budget", f"{budget:.0f}s", "--seed", str(seed))
    return {
        "seed": seed, "trials": len(study.trials), "seconds": round(seconds, 1), "budget_s": round(budget, 1),
        "ended": study.ended.why, "same_point": best_of(study) == best_of(whole),
        **regret(f"search-{seed}/best"),
    }  # fmt: skip


def tuned(name: str, *more: str) -> tuple[StudyRecord, float]:
    """Run a study to its end; return it, and the seconds of its trials and what came before them."""
    environ = {**os.environ, "MLOPT_CACHE": str(WORK / name / "cache")}
    command = [
        sys.executable, "-m", "mlopt", "tune", str(ROOT / "recipes/efficientnet_lite0.yaml"), "--allow-code",
        "--no-sign", "-o", str(WORK / name / "artifact"), "--study", str(WORK / name / "study"),
        *(word for setting in SETTINGS for word in ("--set", setting)),
        *(word for each in VARYING for word in ("--only", each)), *more,
    ]  # fmt: skip
    (WORK / name).mkdir()
    started = time.monotonic()
    with (WORK / name / "log").open("wb") as log:
        subprocess.run(command, env=environ, stdout=log, stderr=log, check=False)
    seconds = time.monotonic() - started
    return studies.read(WORK / name / "study"), seconds


def best_of(study: StudyRecord) -> Any:
    """Return the point of the fastest valid trial."""
    valid = [each for each in study.trials if each.valid and each.speedup is not None]
    return max(valid, key=lambda each: each.speedup or 0.0).params


def regret(folder: str) -> dict[str, Any]:
    """Time what was kept in a folder beside the best of the whole space; 0.02 is a fiftieth slower."""
    best, other = opened(WORK / "whole/study/best"), opened(WORK / folder.replace("/", "/study/"))
    samples = open_dataset(evaluation())
    names = {"best": best, "best (again)": best, "other": other}
    run = compare.compare(
        [Candidate(name, each) for name, each in names.items()], samples,
        Schedule(_SECONDS, _ROUNDS, 600.0, looks=1, least=_LEAST), copies=("best", "best (again)"), undecided=None,
        notify=lambda _text, _share: None, cold=False,
    )  # fmt: skip
    blocks = {name: run.measured[name].blocks for name in names}
    middle, low, high = statistics.speedup(blocks["other"], blocks["best"])
    floor = statistics.noise_floor(blocks["best"], blocks["best (again)"])
    return {"regret": middle - 1, "ci95": [low - 1, high - 1], "noise_floor": floor}


def opened(folder: Path) -> Deployable:
    """Open what a study kept."""
    from mlopt.formats.onnx.file import open_onnx
    from mlopt.runtimes.base import RuntimeOptions
    from mlopt.runtimes.table import deploy

    like = deploy(open_onnx(folder / "model.onnx"), RuntimeOptions(threads=2))
    found = kept(folder, like)
    if found is None:
        raise SystemExit(f"{folder} is not what a study keeps")
    return found


def evaluation() -> Path:
    """Return where the run over the whole space keeps the evaluation samples."""
    stored = [path.parent for path in (WORK / "whole/cache").glob("data/*/out/dataset.json")]
    sets = [path for path in stored if open_dataset(path).count == 200]
    if not sets:
        raise SystemExit("the cache holds no evaluation samples")
    return sets[0]


def unmet(found: dict[str, Any]) -> list[str]:
    """Return what is not as it must be."""
    wrong = []
    if found["points"] < POINTS:
        wrong.append(f"the space has {found['points']} points, and {POINTS} are wanted")
    for each in found["searches"]:
        if each["seconds"] > found["whole_s"] * SHARE * 1.05:
            wrong.append(f"search {each['seed']} took {each['seconds']} s, more than a third of {found['whole_s']}")
        if each["ci95"][0] > REGRET:
            wrong.append(f"search {each['seed']}: its best is slower by {each['regret']:.1%}, more than {REGRET:.0%}")
    return wrong


if __name__ == "__main__":
    main()
