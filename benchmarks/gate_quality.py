"""How often gates are wrong, on simulated machines on which the truth is known, next to the rules of other tools.

python benchmarks/gate_quality.py [--seeds 1000]     # about eleven minutes on 2 busy cores

Every run goes the way of a real one: some rounds, a look, three times as many, a look, nine times as many, a last look;
the verdict is that of mlopt's own statistics and rule. The table goes to benchmarks/results/gate_quality.json.
docs/gate-quality.md explains.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import simulated_machines as simulated
from rival_rules import RULES, Rule

from mlopt.core.hardware import detect
from mlopt.gate.evidence import Evidence
from mlopt.gate.limits import Gate
from mlopt.gate.ruling import rule
from mlopt.measure.statistics import LOOKS, Blocks, over_rounds, percentile_interval, samples_needed, tango
from mlopt.report.control import doubt as control_doubt
from mlopt.report.control import reach as control_reach
from mlopt.results.environment import environment
from mlopt.results.figures import Speedup
from mlopt.results.section import Interval, Verdict

RESULT = Path(__file__).parent / "results/gate_quality.json"
ALPHA = 0.05 / LOOKS
EFFECT = 1.05
ROUNDS = (10, 30, 90)
SPEEDUPS = ((0.97, 1.0), (0.95, 1.0), (2.0, 2.0 / EFFECT), (2.0, 2.0), (2.0, 2.0 * EFFECT))
"""Limits and true speedups; the first two are A/A."""

P95, P95_HOUR = "p95 in 250 s", "p95 in an hour"
P95_ROUNDS = {P95: (80, 240, 720), P95_HOUR: (2000, 6000, 18_000)}
"""By section. In 250 s the new model runs alone from the second look on, since only it is undecided; in an hour always.

The hour is what 5 % take on the machine with bursts, by arithmetic that was done before any run was simulated: see
docs/gate-quality.md.
"""
P95_EFFECTS = {P95: (1 / 1.35, 1 / EFFECT, 1.0, EFFECT, 1.35), P95_HOUR: (1 / EFFECT, 1.0, EFFECT)}
"""Limits, as multiples of the true p95."""
P95_UNITS = 200
"""Blocks are joined to so many, as `percentile_interval` does itself, if there are more."""

MARGIN_PT, DISAGREEMENT, POWER, DRAWS = 1.0, (0.02, 0.05), 0.975, 20_000
DROPS_PT = (0.0, 1.0, 2.0)

Key = tuple[str, str, str, str, str]
"""Section, machine, case, tool, outcome: right, wrong or undecided; or how many were a ``fail``; or all ``calls``."""
Tally = Counter[Key]
Estimate = tuple[float, float, float]


def main() -> None:
    """Simulate, print the tables and store them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="runs per cell")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    tally = simulate(options.seeds)
    rows, totals = table(tally), comparison(tally)
    text = {"environment": environment(detect()).model_dump(mode="json"), "settings": settings(options.seeds)}
    options.output.write_text(json.dumps({**text, "rows": rows, "totals": totals}, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(line(row))
    for total in totals:
        print(json.dumps(total))


def simulate(seeds: int) -> Tally:
    """Run everything on all cores; the tally depends on the number of seeds alone."""
    jobs = [partial(tails, "bursts", seed, P95_HOUR) for seed in range(seeds)]
    jobs += [
        partial(job, kind, seed) for job in (ratios, tails) for seed in range(seeds) for kind in simulated.MACHINES
    ]
    tally = drops()
    with Pool(os.cpu_count()) as pool:
        for part in pool.imap_unordered(_call, jobs, chunksize=20):
            tally.update(part)
    return tally


def ratios(kind: str, seed: int) -> Tally:
    """Judge speedups on one machine, by mlopt and, at their own limits, by the other tools."""
    machine = simulated.machine(kind, seed, ROUNDS[-1], slowest=max(rule.limit for rule in RULES) * EFFECT)
    tally: Tally = Counter()

    @cache
    def measured(speedup: float) -> tuple[simulated.Run, list[Estimate], list[Estimate]]:
        run = simulated.run(machine, 1 / speedup)
        base, again, new = (_round_logs(blocks) for blocks in (run.base, run.again, run.new))
        return run, _at_looks(base - new), _at_looks(base - again)

    for limit, true in SPEEDUPS:
        run, found, control = measured(true)
        verdict, looks = judge_speedup(found, control, limit)
        _count(
            tally, ("speedup", kind, f"speedup >= {limit:g}, true {true:.3g}", "mlopt"), true - limit, verdict, looks
        )
    for rival, true in _rival_cases():
        run, found, control = measured(1 / true)
        verdict, looks = judge_speedup(found, control, 1 / rival.limit)
        case = ("others", kind, _case(rival, true))
        _count(tally, (*case, "mlopt"), rival.limit - true, verdict, looks)
        calls = 2 * ROUNDS[looks - 1]
        fails = rival.fails(run.base[:calls].ravel(), run.new[:calls].ravel())
        _count(tally, (*case, "other"), rival.limit - true, "fail" if fails else "pass", looks)
    run = measured(1.0)[0]
    for name, interval in intervals(_round_logs(run.base) - _round_logs(run.new)).items():
        missed: Verdict = "fail" if interval[0] > 0 or interval[1] < 0 else "pass"
        _count(tally, ("interval of 10 rounds", kind, "misses the truth", name), 1.0, missed, 1)
    return tally


def tails(kind: str, seed: int, section: str = P95) -> Tally:
    """Judge a p95 on one machine: of the period until a look, against limits around its truth of that period."""
    first, *_, last = P95_ROUNDS[section]
    machine = simulated.machine(kind, seed, last, together=first if section == P95 else 0)
    run = simulated.run(machine, 1.0)
    looks = []
    for rounds in P95_ROUNDS[section]:
        blocks = 1000 * run.new[: 2 * rounds]
        truth = 1000 * simulated.true_quantile(machine, run.ends[:rounds], 1.0, 0.95)
        looks.append((percentile_interval(_joined(blocks), 0.95, ALPHA), float(np.quantile(blocks, 0.95)), truth))
    tally: Tally = Counter()
    for effect in P95_EFFECTS[section]:
        verdict, number = first_decision(
            rule(Gate(metric="latency.p95_ms", max=effect * truth), Evidence(value, interval))
            for interval, value, truth in looks
        )
        case = (section, kind, f"p95 <= {effect:.3f} x true p95", "mlopt")
        _count(tally, case, effect - 1, verdict, number, P95_ROUNDS[section])
    return tally


def drops() -> Tally:
    """Judge accuracy drops at the margin, and a margin to either side of it, with as many samples as are asked for."""
    tally: Tally = Counter()
    gate, random = Gate(metric="accuracy.drop_pt", max=MARGIN_PT), np.random.default_rng(0)
    for share in DISAGREEMENT:
        n = samples_needed(MARGIN_PT, share, alpha=0.025, power=POWER)
        for drop in DROPS_PT:
            lost, gained = (share + drop / 100) / 2, (share - drop / 100) / 2
            draws = random.multinomial(n, [lost, gained, 1 - share], size=DRAWS)
            pairs, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
            for (down, up), count in zip(pairs.tolist(), counts.tolist(), strict=True):
                low, high = tango(down, up, n)
                verdict = rule(gate, Evidence(100 * (down - up) / n, (100 * low, 100 * high)))
                case = f"drop <= {MARGIN_PT:g} pt, true {drop:g} pt, {share:.0%} differ, n = {n}"
                key = ("accuracy drop", "paired samples", case, "mlopt")
                tally[*key, _outcome(MARGIN_PT - drop, verdict)] += count
                tally[*key, "fail"] += count * (verdict == "fail")
    return tally


def judge_speedup(found: list[Estimate], control: list[Estimate], limit: float) -> tuple[Verdict, int]:
    """Return mlopt's verdict on a speedup, and the look at which it was reached; both lists have an entry per look."""
    gate = Gate(metric="speedup.median", min=limit)

    def look(estimate: Estimate, copies: Estimate) -> Verdict:
        low, middle, high = np.exp(estimate).tolist()
        ends = math.exp(copies[0]), math.exp(copies[2])
        measured = Speedup(median=middle, ci95=(low, high), vs="baseline", noise_floor=0.0, control=ends)
        doubt, reach = control_doubt(measured, "this run"), control_reach(measured)
        return rule(gate, Evidence(middle, measured.ci95, doubt=doubt, reach=reach))

    return first_decision(map(look, found, control))


def first_decision(verdicts: Iterable[Verdict]) -> tuple[Verdict, int]:
    """Return the first verdict that is no "inconclusive", or the last one, and its number from 1."""
    number = 0
    for number, verdict in enumerate(verdicts, 1):
        if verdict != "inconclusive":
            return verdict, number
    return "inconclusive", number


def intervals(logs: simulated.Floats) -> dict[str, Interval]:
    """Return what three methods make of the first look's log ratios: mlopt's, and two bootstraps over rounds."""
    low, _, high = over_rounds(logs[: ROUNDS[0]], ALPHA)
    drawn = np.random.default_rng(0).integers(ROUNDS[0], size=(2000, ROUNDS[0]))
    tails = [ALPHA / 2, 1 - ALPHA / 2]
    mean, median = np.quantile(logs[drawn].mean(axis=1), tails), np.quantile(np.median(logs[drawn], axis=1), tails)
    return {
        "signed rank": (low, high),
        "bootstrap of the mean": (float(mean[0]), float(mean[1])),
        "bootstrap of the median": (float(median[0]), float(median[1])),
    }


def table(tally: Tally) -> list[dict[str, str | float]]:
    """Turn counts into shares, a row for every case and tool."""
    rows: list[dict[str, str | float]] = []
    for case in dict.fromkeys(key[:4] for key in sorted(tally)):
        runs = sum(tally[*case, outcome] for outcome in ("right", "wrong", "undecided"))
        row: dict[str, str | float] = dict(zip(("section", "machine", "case", "tool"), case, strict=True))
        row |= {outcome: tally[*case, outcome] / runs for outcome in ("right", "wrong", "undecided", "fail")}
        rows.append(row | {"runs": runs, "calls": round(tally[*case, "calls"] / runs)})
    return rows


def comparison(tally: Tally) -> list[dict[str, str | float]]:
    """Add up, for each other tool, both tools' verdicts on the same runs: off the limit, and how many fail at it."""
    totals: list[dict[str, str | float]] = []
    for rival in RULES:
        total: dict[str, str | float] = {"rule": rival.name}
        for tool in ("mlopt", "other"):
            cells = [key for key in tally if key[0] == "others" and key[3] == tool and key[2].startswith(rival.name)]
            at = _case(rival, rival.limit)
            for outcome in ("right", "wrong", "undecided"):
                total[f"{tool} {outcome}"] = sum(tally[key] for key in cells if key[4] == outcome and key[2] != at)
            total[f"{tool} fails at the limit"] = sum(tally[key] for key in cells if key[4] == "fail" and key[2] == at)
        totals.append(total)
    return totals


def line(row: dict[str, str | float]) -> str:
    """Format one row of the table."""
    shares = "  ".join(f"{outcome} {row[outcome]:7.2%}" for outcome in ("right", "wrong", "undecided"))
    return (
        f"{row['section']:<14} {row['machine']:<16} {row['case']:<62} {row['tool']:<8} {shares}  calls {row['calls']}"
    )


def settings(seeds: int) -> dict[str, object]:
    """Return what the figures depend on besides the code."""
    names = ("CALLS", "CALL", "SETTLE", "NOISE", "CORRELATION", "SPIKES", "SPIKE", "DRIFT", "SPELL", "SPELL_FACTOR")
    machines = {name: getattr(simulated, name) for name in (*names, "BETWEEN_SPELLS", "SLOW_DRIFT", "WALK")}
    return {
        "seeds": seeds, "alpha": ALPHA, "rounds": ROUNDS, "p95_rounds": P95_ROUNDS, "accuracy_draws": DRAWS,
        "accuracy_power": POWER, "machines": machines,
    }  # fmt: skip


def _rival_cases() -> Iterator[tuple[Rule, float]]:
    for rival in RULES:
        for true in (1.0, rival.limit / EFFECT, rival.limit, rival.limit * EFFECT):
            yield rival, true


def _case(rival: Rule, true: float) -> str:
    return f"{rival.name}: takes {true:.4g}x, limit {rival.limit:g}x"


def _round_logs(blocks: simulated.Floats) -> simulated.Floats:
    logs: simulated.Floats = np.log(np.median(blocks, axis=1)).reshape(-1, 2).mean(axis=1)
    return logs


def _at_looks(logs: simulated.Floats) -> list[Estimate]:
    return [over_rounds(logs[:rounds], ALPHA) for rounds in ROUNDS]


def _joined(blocks: simulated.Floats) -> Blocks:
    """Join neighbours to ``P95_UNITS`` beforehand, where that comes out even: tens of thousands of blocks take long."""
    even = len(blocks) > P95_UNITS and len(blocks) % P95_UNITS == 0
    return list(blocks.reshape(P95_UNITS, -1) if even else blocks)


def _count(
    tally: Tally, case: tuple[str, str, str, str], margin: float, verdict: Verdict, looks: int,
    rounds: tuple[int, ...] = ROUNDS,
) -> None:  # fmt: skip
    tally[*case, _outcome(margin, verdict)] += 1
    tally[*case, "fail"] += verdict == "fail"
    tally[*case, "calls"] += 2 * simulated.CALLS * rounds[looks - 1]


def _outcome(margin: float, verdict: Verdict) -> str:
    """Hold a verdict against the truth: it should pass by a ``margin`` above 0; at 0, any decision counts as wrong."""
    if verdict == "inconclusive":
        return "undecided"
    if abs(margin) < 1e-9:
        return "wrong"
    return "right" if (verdict == "pass") == (margin > 0) else "wrong"


def _call(job: partial[Tally]) -> Tally:
    return job()


if __name__ == "__main__":
    main()
