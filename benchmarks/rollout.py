"""How often `mlopt rollout analyze` is wrong, and how soon it is right, under simulated requests.

python benchmarks/rollout.py [--seeds 400]     # about eight minutes on one core

Equal candidates are watched for two minutes at 20 to 50 requests a second in all, of which they get a tenth; bad ones
for one minute, at the requests a second to the candidate that the table says, beside nine times as many. Each is looked
at every 5 s with the limits that the verb has by default. The table goes to benchmarks/results/rollout.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.rollout.comparison import CanaryLimits, judge, overall
from mlopt.rollout.observed import Observed, since

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from simulated_traffic import Behaviour, readings

RESULT = Path(__file__).parent / "results/rollout.json"
STABLE, CANDIDATE = "stable", "candidate"
EVERY_S = 5.0
GOOD = Behaviour(errors=0.001)
EQUAL = {
    "no errors": (Behaviour(), 0.0),
    "2 % errors in both": (Behaviour(errors=0.02), 0.0),
    "both slow at the same times": (Behaviour(errors=0.002), 0.3),
    "each slow at times of its own": (Behaviour(errors=0.002, drift=0.2), 0.0),
    "0.8 % of answers differ, 1 % may": (Behaviour(different=0.008), 0.0),
}
BAD = {
    "10 % 5xx": Behaviour(errors=0.1),
    "3 % 5xx": Behaviour(errors=0.03),
    "3 times as slow": Behaviour(median_s=0.06),
    "twice as slow": Behaviour(median_s=0.04),
    "a tail of 3 times": Behaviour(spread=1.2),
    "20 % wrong": Behaviour(different=0.2),
    "5 % wrong": Behaviour(different=0.05),
}
RATES = (5.0, 20.0, 50.0)


NO_MARGIN = CanaryLimits(errors=0.0, slower=1.0, different=0.0, alpha=0.05)
"""The worst case for false alarms: an equal candidate lies on the limit itself."""


def watched(
    source: Iterator[Mapping[str, Observed]], looks: int, limits: CanaryLimits | None = None
) -> tuple[str, float]:
    """Return the verdict, and after how many seconds."""
    last = next(source)
    windows: dict[str, list[Observed]] = {STABLE: [], CANDIDATE: []}
    for look in range(1, looks + 1):
        now = next(source)
        for digest, each in windows.items():
            each.append(since(last[digest], now[digest]))
        last = now
        verdict = overall(judge(windows[STABLE], windows[CANDIDATE], limits or CanaryLimits(), look))
        if verdict != "inconclusive":
            return verdict, look * EVERY_S
    return "inconclusive", looks * EVERY_S


def equal(both: Behaviour, drift: float, seeds: int) -> dict[str, Any]:
    """Watch so many equal candidates."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        per_s = float(rng.uniform(20, 50))
        rates = {STABLE: per_s * 0.9, CANDIDATE: per_s * 0.1}
        source = readings(rng, {STABLE: both, CANDIDATE: both}, rates, mirrored={CANDIDATE: per_s * 0.2}, drift=drift)
        found.append(watched(source, 24)[0])
    return {"candidates": seeds, **{verdict: found.count(verdict) for verdict in ("fail", "pass", "inconclusive")}}


def on_the_limit(seeds: int) -> dict[str, Any]:
    """Watch equal candidates under limits that allow nothing, at an error rate of 5 % and many requests."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        source = readings(rng, {STABLE: Behaviour(0.01), CANDIDATE: Behaviour(0.01)}, {STABLE: 200.0, CANDIDATE: 200.0})
        found.append(watched(source, 24, NO_MARGIN)[0])
    return {"candidates": seeds, "alpha": NO_MARGIN.alpha, "fail": found.count("fail")}


def good(per_s: float, seeds: int) -> dict[str, Any]:
    """Watch good candidates for five minutes, until they pass."""
    times = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        rates = {STABLE: per_s * 9, CANDIDATE: per_s}
        source = readings(rng, {STABLE: GOOD, CANDIDATE: GOOD}, rates, mirrored={CANDIDATE: per_s / 2})
        verdict, seconds = watched(source, 60)
        times += [seconds] if verdict == "pass" else []
    return {"candidates": seeds, "passed": len(times), "median_s": statistics.median(times) if times else None}


def bad(fault: Behaviour, per_s: float, seeds: int) -> dict[str, Any]:
    """Watch so many bad candidates."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        rates = {STABLE: per_s * 9, CANDIDATE: per_s}
        source = readings(rng, {STABLE: GOOD, CANDIDATE: fault}, rates, mirrored={CANDIDATE: per_s / 2})
        found.append(watched(source, 12))
    times = [seconds for verdict, seconds in found if verdict == "fail"]
    verdicts = [verdict for verdict, _ in found]
    return {
        "candidates": seeds, "found": len(times), "passed": verdicts.count("pass"),
        "median_s": statistics.median(times) if times else None,
    }  # fmt: skip


def main() -> None:
    """Simulate, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=400)
    seeds = parser.parse_args().seeds
    found: dict[str, Any] = {"seeds": seeds, "alpha": CanaryLimits().alpha, "equal": {}, "bad": {}}
    for name, (both, drift) in EQUAL.items():
        found["equal"][name] = equal(both, drift, seeds)
        print(f"equal, {name}: {found['equal'][name]}", flush=True)
    found["on the limit"] = on_the_limit(seeds)
    print(f"on the limit: {found['on the limit']}", flush=True)
    found["good"] = {f"{rate:g}": good(rate, seeds // 4) for rate in RATES}
    print(f"good: {found['good']}", flush=True)
    for name, fault in BAD.items():
        found["bad"][name] = {f"{rate:g}": bad(fault, rate, seeds) for rate in RATES}
        for rate, one in found["bad"][name].items():
            print(f"{name}, {rate}/s: {one}", flush=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
