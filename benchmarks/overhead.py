"""What mlopt itself costs, beside the work that it has libraries do.

python benchmarks/overhead.py [--only against,cached,memory,passes,samples,start] [--sizes 10,100,1000,4000]
python benchmarks/overhead.py --page       writes docs/overhead.md from what is stored

- against: `mlopt optimize` beside `overhead_direct.py`, which does the same work by the same libraries and nothing
  else, in turns (ABBA). The work is what a user would do for the same figures: read the data, build (and train) the
  module, export, simplify, quantize and fuse it, run each model on all evaluation samples and score it, and time all of
  them in as many blocks of as many seconds, after as much warm-up. All else is mlopt's own cost: a process for every
  step, model and recipe function, and what each imports anew; cache and digests; the check after each pass, and all
  evaluation samples after each lossless one; the source run twice, to see whether it repeats itself, and built twice;
  intervals; a profile by operator; report, artifact, bill of materials and signature. Settings are fixed, and gates
  such that one look decides. Correcting biases, which onnxruntime does not do, is off. At most 1.15 times the wall
  time, and 1.3 times the memory of the largest process.
- cached: the same command once more, all of it in the cache: at most 2 seconds besides measuring (the phases
  `choose`, `measure` and `operators` of the report's `took`; what no phase counts, such as starting, is in the 2
  seconds).
- memory: simplify, quantize (dynamic) and fuse on generated models of several sizes, weights in external data: from the
  smallest on, the largest process grows by at most twice what the model does. The sum of all processes is told
  beside the memory of the direct calls' one process, without a bar: each model that is measured has one of its own.
- passes, samples: seconds and memory by the length of the chain, and by the number of calibration samples. No bar.
- start: CPU seconds of `mlopt --help`, and of `mlopt optimize` until the stage `plan` is done. No bar here.

The exit code is 1 if one of them misses its bar.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from large_model import make
from overhead_cases import CASES, CHAIN, ROOT, overrides, write_order
from overhead_watch import Cost, watched
from precision_figures import RESULTS, store

from mlopt.core.hardware import detect
from mlopt.results.environment import environment, now

MOST = {"wall": 1.15, "memory": 1.3, "cached": 2.0, "growth": 2.0}
SIZES = (10, 100, 1000, 4000)
LARGE = "[simplify, {quantize: {mode: dynamic}}, fuse]"
MEASURING = ("choose", "measure", "operators")
PLAN = """
import time
from pathlib import Path
import mlopt.cli.optimize
from mlopt.run.optimize import planned_for
from mlopt.run.request import Request
with planned_for(Request(Path("recipes/mnist_cnn.yaml"), allow_code=True)):
    pass
"""
Document = dict[str, Any]


def main() -> None:
    """Measure what is asked for, store it beside what was stored before, and judge all of it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process compiles what it imports, as no user's does
    options = arguments()
    document: Document = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    if options.page:
        from overhead_page import write

        write(document)
        return
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix=f"mlopt-{name}-") as folder:
            found = PARTS[name](Path(folder), options)
        document[name] = {
            **({} if name != "memory" else document.get(name, {})), **found, "created": now(),
            "environment": environment(detect()).model_dump(mode="json"),
        }  # fmt: skip
        store({**document, "most": MOST}, options.output)
    missed = list(misses(document))
    print(*missed, sep="\n")
    sys.exit(bool(missed))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "overhead.json")
    parser.add_argument("--only", default=",".join(PARTS), help="some of them")
    parser.add_argument("--cases", default=",".join(CASES), help="some of the recipes")
    parser.add_argument("--pairs", type=int, default=2, help="turns of mlopt and of the direct calls")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="megabytes of the generated models")
    parser.add_argument("--page", action="store_true", help="write docs/overhead.md and measure nothing")
    return parser.parse_args()


def misses(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what misses its bar, in words."""
    for name, case in document.get("against", {}).get("cases", {}).items():
        for what, key in (("wall", "wall_ratio"), ("memory", "largest_process_ratio")):
            if case[key] > MOST[what]:
                yield f"{name}: {case[key]:.2f} times the {what} of direct calls, at most {MOST[what]}"
    for name, case in document.get("cached", {}).get("cases", {}).items():
        if case["own_seconds"] > MOST["cached"]:
            yield f"{name}, cached: {case['own_seconds']:.2f} s besides measuring, at most {MOST['cached']}"
    for size, found in document.get("memory", {}).get("sizes", {}).items():
        if (grown := found.get("largest_process_growth", 0.0)) > MOST["growth"]:
            yield f"memory, {size} MB: grew by {grown:.2f} of the model's size, at most {MOST['growth']}"


def against(folder: Path, options: argparse.Namespace) -> Document:
    """Run mlopt and the direct calls in turns; return their costs and ratios for each case."""
    cases: Document = {}
    for name in options.cases.split(","):
        costs: dict[str, list[Cost]] = {"mlopt": [], "direct": []}
        details: Document = {}
        for pair in range(options.pairs):
            for who in ("mlopt", "direct") if pair % 2 == 0 else ("direct", "mlopt"):
                place = folder / f"{name}-{pair}-{who}"
                place.mkdir()
                cost, details[who] = (optimized if who == "mlopt" else direct)(name, place)
                costs[who].append(cost)
                shutil.rmtree(place)
        middle = {who: middle_of(each) for who, each in costs.items()}
        ratios = {f"{key}_ratio": middle["mlopt"][f"{key}_{unit}"] / middle["direct"][f"{key}_{unit}"]
                  for key, unit in UNITS.items()}  # fmt: skip
        cases[name] = {**ratios, **middle, "phases": details}
        print(json.dumps({name: ratios, **details}), flush=True)
    return {"chain": CHAIN, "pairs": options.pairs, "cases": cases}


UNITS = {"wall": "seconds", "cpu": "seconds", "largest_process": "bytes", "tree": "bytes"}


def middle_of(costs: list[Cost]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: statistics.median(getattr(cost, name) for cost in costs)
            for name in (f"{key}_{unit}" for key, unit in UNITS.items())}  # fmt: skip


def optimized(name: str, folder: Path, *more: str) -> tuple[Cost, dict[str, float]]:
    """Run a recipe with an empty cache, and sign it; return its cost and its phases."""
    key = folder / "key.pem"
    watched(mlopt("keygen", "-o", str(key)), folder)
    recipe = ROOT / f"recipes/{name}.yaml"
    return optimize([str(recipe), "--allow-code", "--key", str(key), *overrides(), *more], folder)


def optimize(words: list[str], folder: Path) -> tuple[Cost, dict[str, float]]:
    """Run `mlopt optimize` with the cache in ``folder``; return its cost and its phases."""
    command = mlopt("optimize", *words, "-o", str(folder / "out"), "--json")
    cost = watched(command, ROOT, {"MLOPT_CACHE": str(folder / "cache")}, codes=(0, 3))
    return cost, json.loads(cost.printed)["took"]


def direct(name: str, folder: Path) -> tuple[Cost, dict[str, float]]:
    """Do the same by direct calls."""
    return ordered(CASES[name].order(name), folder)


def ordered(order: Mapping[str, Any], folder: Path) -> tuple[Cost, dict[str, float]]:
    """Let the direct script follow an order."""
    script, path = Path(__file__).with_name("overhead_direct.py"), write_order(order, folder)
    cost = watched([sys.executable, str(script), str(path), str(folder)], folder)
    return cost, json.loads(cost.printed.splitlines()[-1])["stages"]


def cached(folder: Path, options: argparse.Namespace) -> Document:
    """Run each recipe again with everything in the cache; return what that took besides measuring."""
    cases: Document = {}
    for name in options.cases.split(","):
        place = folder / name
        place.mkdir()
        optimized(name, place)
        (place / "key.pem").unlink()
        (place / "key.pem.pub").unlink(missing_ok=True)
        cost, took = optimized(name, place)
        measuring = sum(took.get(phase, 0.0) for phase in MEASURING)
        cases[name] = {
            "own_seconds": cost.wall_seconds - measuring, "wall_seconds": cost.wall_seconds,
            "outside_phases_seconds": cost.wall_seconds - sum(took.values()), "phases": took,
        }  # fmt: skip
        print(json.dumps({name: cases[name]}), flush=True)
        shutil.rmtree(place)
    return {"cases": cases}


def memory(folder: Path, options: argparse.Namespace) -> Document:
    """Optimize generated models; return memory by size, and how it grew from the smallest one on."""
    sizes: Document = {}
    for megabytes in sorted(map(int, options.sizes.split(","))):
        place = folder / str(megabytes)
        place.mkdir()
        size, words = generated(place, megabytes)
        cost, took = optimize(words, place)
        sizes[str(megabytes)] = found = {
            "size_bytes": size, "largest_process_bytes": cost.largest_process_bytes, "tree_bytes": cost.tree_bytes,
            "wall_seconds": cost.wall_seconds, "phases": took, "steps": peaks(place / "out/report.json"),
        }  # fmt: skip
        shutil.rmtree(place / "cache")
        shutil.rmtree(place / "out")
        found["direct"] = direct_memory(place)
        print(json.dumps({megabytes: found}), flush=True)
        shutil.rmtree(place)
    first, *rest = sizes.values()
    for found in rest:
        for what in ("largest_process_bytes", "tree_bytes"):
            grown = (found[what] - first[what]) / (found["size_bytes"] - first["size_bytes"])
            found[what.replace("bytes", "growth")] = grown
    return {"chain": LARGE, "sizes": sizes}


def generated(folder: Path, megabytes: int) -> tuple[int, list[str]]:
    """Write a model of about so many megabytes, its data and a recipe; return the bytes and the recipe's words."""
    width = 4096 if megabytes > 400 else 1024 if megabytes > 40 else 512
    make(folder, width, max(2, round(megabytes * 1e6 / (4 * width * width))))
    rows = np.random.default_rng(1).standard_normal((16, width), dtype=np.float32)
    np.savez(folder / "x.npz", x=rows)
    (folder / "recipe.yaml").write_text(
        "apiVersion: mlopt/v1\nname: generated\nmodel: {source: model.onnx}\n"
        "data: {evaluation: {source: x.npz}}\nmetric: {name: fidelity}\n"
        f"target: {{device: cpu, threads: 2, batch_size: 1}}\npasses: {LARGE}\n",
        encoding="utf-8",
    )
    size = sum((folder / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
    words = [str(folder / "recipe.yaml"), "--no-sign", *overrides(LARGE)]
    return size, [*words, "--set", "measure.seconds=0.5", "--set", "measure.rounds=7"]


def direct_memory(folder: Path) -> Document:
    """Return the same of direct calls in one process, or why they failed: onnxruntime's quantizer has limits."""
    order = {"model": str(folder / "model.onnx"), "data": str(folder / "x.npz"), "batch_size": 1, "threads": 2,
             "metric": "agreement", "seconds": 0.5, "rounds": 7}  # fmt: skip
    try:
        cost, stages = ordered(order, folder)
    except RuntimeError as error:
        return {"failed": str(error).strip().splitlines()[-1]}
    return {"largest_process_bytes": cost.largest_process_bytes, "wall_seconds": cost.wall_seconds, "stages": stages}


def peaks(report: Path) -> dict[str, int]:
    """Return the memory of each step's process, and of each model's as it is measured."""
    found = json.loads(report.read_text(encoding="utf-8"))
    measured = {**found["references"], "optimized": found["final"]}
    return {step["pass"]: step["peak_rss_bytes"] for step in found["steps"]} | {
        f"measuring {name}": each["peak_rss_bytes"] for name, each in measured.items()
    }


def passes(folder: Path, _options: argparse.Namespace) -> Document:
    """Optimize a generated model with longer and longer chains; return seconds besides measuring."""
    chains = ("[simplify]", "[simplify, fuse]", LARGE)
    return {"chains": {chain: grown(folder / str(n), "--set", f"passes={chain}") for n, chain in enumerate(chains)}}


def grown(folder: Path, *more: str) -> Document:
    """Optimize a generated model of 10 MB."""
    folder.mkdir()
    _, words = generated(folder, 10)
    cost, took = optimize([*words, *more], folder)
    found = {"own_seconds": cost.wall_seconds - sum(took.get(phase, 0.0) for phase in MEASURING),
             "cpu_seconds": cost.cpu_seconds, "largest_process_bytes": cost.largest_process_bytes}  # fmt: skip
    print(json.dumps(found), flush=True)
    return found


def samples(folder: Path, _options: argparse.Namespace) -> Document:
    """Calibrate mnist_cnn on more and more samples; return what the pass took."""
    counts: Document = {}
    for count in (64, 256, 1024):
        limit = ("--set", f"data.calibration.limit={count}")
        _, took = optimized("mnist_cnn", made(folder / str(count)), *limit)
        steps = peaks(folder / str(count) / "out/report.json")
        seconds = next(each for phase, each in took.items() if phase.startswith("pass quantize"))
        counts[str(count)] = {"seconds": seconds, "peak_rss_bytes": steps["quantize"]}
    print(json.dumps(counts), flush=True)
    return {"counts": counts}


def made(folder: Path) -> Path:
    """Make a folder."""
    folder.mkdir()
    return folder


def start(folder: Path, _options: argparse.Namespace) -> Document:
    """Return CPU seconds, the medians of five processes."""
    commands = {"help": (mlopt("--help"), folder), "plan": ([sys.executable, "-c", PLAN], ROOT)}
    return {name: statistics.median(watched(*command).cpu_seconds for _ in range(5))
            for name, command in commands.items()}  # fmt: skip


def mlopt(*words: str) -> list[str]:
    """Return the command line of a verb."""
    return [sys.executable, "-m", "mlopt", *words]


PARTS: Mapping[str, Callable[[Path, argparse.Namespace], Document]] = {
    "against": against, "cached": cached, "memory": memory, "passes": passes, "samples": samples, "start": start,
}  # fmt: skip

if __name__ == "__main__":
    main()
