"""The benchmark of verdicts, on few seeds: its machines are what they say, and it judges as mlopt does."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from statistics import NormalDist
from types import ModuleType

import numpy as np
import pytest

from mlopt.measure.intervals import normal
from mlopt.measure.statistics import LOOKS, control, percentile_interval, speedup

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ALPHA = 0.05 / LOOKS


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    return importlib.import_module("simulated_machines")


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    return importlib.import_module("gate_quality")


@pytest.fixture(scope="module")
def rivals() -> ModuleType:
    return importlib.import_module("rival_rules")


def test_noise_is_correlated_as_stated(simulated: ModuleType):
    values = simulated.correlated(np.random.default_rng(1), 200_000)
    assert values.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(values[1:], values[:-1])[0, 1] == pytest.approx(simulated.CORRELATION, abs=0.005)
    assert np.corrcoef(values[20:], values[:-20])[0, 1] == pytest.approx(simulated.CORRELATION**20, abs=0.03)


def test_machines_are_as_harsh_as_stated(simulated: ModuleType):
    plain, bursts, slow = (simulated.machine(kind, 3, 90) for kind in simulated.MACHINES)
    assert 0.87 < plain.slowness.min() < plain.slowness.max() < 1.13
    assert 0.05 < np.mean(bursts.slowness > 1.13 * 1.15) < 0.4
    assert bursts.slowness.max() > 1.5
    half = len(slow.clock) // 2  # the run takes about half of the path
    assert 0.05 < abs(math.log(slow.slowness[:half].max() / slow.slowness[:half].min())) < 1


def test_candidates_take_turns_in_both_directions(simulated: ModuleType):
    machine = simulated.machine("bursts", 1, 20)
    assert (machine.turns == machine.turns[:, ::-1]).all()
    assert (np.sort(machine.turns[:, :3], axis=1) == [0, 1, 2]).all()
    assert len({tuple(turn) for turn in machine.turns}) == 6
    assert (machine.settle[:, 3] == 0).all()
    run = simulated.run(machine, 1.2)
    assert run.base.shape == run.new.shape == (40, simulated.CALLS)


def test_a_candidate_goes_on_alone_without_settling(simulated: ModuleType):
    machine = simulated.machine("slow drift", 1, 20, together=5)
    run = simulated.run(machine, 1.0)
    assert len(run.new) == 40
    assert len(run.base) == len(run.again) == 10
    assert np.diff(run.ends)[-1] == pytest.approx(2 * simulated.CALLS * simulated.CALL)


def test_the_new_model_runs_alone_throughout(simulated: ModuleType):
    machine = simulated.machine("bursts", 1, 20, together=0)
    run = simulated.run(machine, 1.0)
    assert run.new.shape == (40, simulated.CALLS)
    assert len(run.base) == len(run.again) == 0
    assert run.ends[-1] == pytest.approx(40 * simulated.CALLS * simulated.CALL)


def test_without_noise_a_run_is_its_path(simulated: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simulated, "NOISE", 0.0)
    monkeypatch.setattr(simulated, "SPIKES", 0.0)
    machine = simulated.machine("bursts", 2, 30)
    run = simulated.run(machine, 1.5)
    assert run.base.min() >= machine.slowness.min() * simulated.CALL * (1 - 1e-9)
    assert run.new.max() <= machine.slowness.max() * simulated.CALL * 1.5 * (1 + 1e-9)


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_the_true_quantile_is_that_of_very_many_calls(simulated: ModuleType, quantile: float):
    machine = simulated.machine("bursts", 4, 20)
    run = simulated.run(machine, 1.0)
    random = np.random.default_rng(0)
    rounds = np.repeat(np.concatenate([[0.0], run.ends[:-1]]), 20_000), np.repeat(run.ends, 20_000)
    slowness = np.interp(random.uniform(*rounds), machine.done, machine.slowness)
    noise = np.exp(simulated.NOISE * random.normal(size=len(slowness)))
    spiked = random.random(len(slowness)) < simulated.SPIKES
    calls = simulated.CALL * slowness * np.where(spiked, noise * random.uniform(*simulated.SPIKE, len(slowness)), noise)
    truth = simulated.true_quantile(machine, run.ends, 1.0, quantile)
    assert truth == pytest.approx(np.quantile(calls, quantile), rel=0.01)


def test_the_benchmark_judges_the_figures_that_mlopt_reports(simulated: ModuleType, quality: ModuleType):
    run = simulated.run(simulated.machine("bursts", 5, quality.ROUNDS[-1]), 1 / 2.1)
    base, again, new = (quality._round_logs(blocks) for blocks in (run.base, run.again, run.new))
    for rounds, found, copies in zip(
        quality.ROUNDS, quality._at_looks(base - new), quality._at_looks(base - again), strict=True
    ):
        middle, low, high = speedup(run.base[: 2 * rounds].tolist(), run.new.tolist(), ALPHA)
        assert np.exp(found) == pytest.approx([low, middle, high])
        ends = control(run.base[: 2 * rounds].tolist(), run.again.tolist(), ALPHA)
        assert np.exp([copies[0], copies[2]]) == pytest.approx(ends)


def test_a_control_that_excludes_1_puts_the_verdict_off_where_the_limit_is_near(quality: ModuleType):
    clear, equal, apart = (0.69, 0.70, 0.71), (-0.01, 0.0, 0.01), (0.01, 0.02, 0.03)
    near, nearly = math.exp(0.67), math.exp(0.73)
    assert quality.judge_speedup([clear, clear], [equal, equal], near) == ("pass", 1)
    assert quality.judge_speedup([clear, clear], [equal, equal], nearly) == ("fail", 1)
    assert quality.judge_speedup([clear, clear], [apart, equal], near) == ("pass", 2)
    assert quality.judge_speedup([clear, clear], [apart, equal], nearly) == ("fail", 2)
    assert quality.judge_speedup([clear, clear], [apart, apart], near) == ("inconclusive", 2)
    assert quality.judge_speedup([clear, clear], [apart, apart], 1.5) == ("pass", 1)
    assert quality.judge_speedup([clear, clear], [apart, apart], 2.5) == ("fail", 1)


def test_blocks_joined_beforehand_give_the_same_interval(quality: ModuleType):
    blocks = np.exp(0.1 * np.random.default_rng(0).normal(size=(800, 25)))
    joined = quality._joined(blocks)
    assert len(joined) == 200
    assert percentile_interval(joined, 0.95, ALPHA) == percentile_interval(list(blocks), 0.95, ALPHA)
    assert len(quality._joined(blocks[:480])) == 480


@pytest.mark.heavy
def test_few_seeds_are_hardly_ever_wrong(quality: ModuleType):
    tally = quality.drops()
    for seed in range(3):
        for kind in quality.simulated.MACHINES:
            tally.update(quality.ratios(kind, seed))
    rows = [row for row in quality.table(tally) if row["tool"] == "mlopt"]
    speedups = [row for row in rows if row["section"] == "speedup" and row["case"] != "speedup >= 2, true 2"]
    assert len(speedups) == 3 * 4
    assert all(row["wrong"] == 0 for row in speedups)
    assert np.mean([row["right"] for row in speedups]) > 0.95
    drops = [row for row in rows if row["section"] == "accuracy drop"]
    assert all(row["wrong"] <= 0.05 for row in drops)
    assert all(row["right"] >= 0.95 for row in drops if "true 1 pt" not in row["case"])
    totals = quality.comparison(tally)
    assert sum(total["mlopt wrong"] for total in totals) <= min(1, sum(total["other wrong"] for total in totals))
    assert sum(total["other fails at the limit"] for total in totals) > 5


def test_a_p95_is_decided_where_it_is_far_from_its_limit(quality: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(quality.P95_ROUNDS, quality.P95, (20, 60))
    tally = quality.tails("drift and spikes", 1)
    rows = {row["case"]: row for row in quality.table(tally)}
    assert rows["p95 <= 0.741 x true p95"]["right"] == 1
    assert rows["p95 <= 1.350 x true p95"]["right"] == 1
    assert rows["p95 <= 1.000 x true p95"]["undecided"] == 1


def test_the_tools_rules_are_those_of_their_sources(rivals: ModuleType):
    random = np.random.default_rng(0)
    old = np.exp(0.05 * random.normal(size=500))
    fails = {rule.name: [rule.fails(old, factor * old) for factor in (1.02, 1.06, 1.12, 2.1)] for rule in rivals.RULES}
    assert fails == {
        "pytest-benchmark median:5%": [False, True, True, True],
        "asv factor 1.1, p < 0.002": [False, False, True, True],
        "github-action-benchmark 200%": [False, False, False, True],
        "github-action-benchmark 110%": [False, False, True, True],
        "criterion, noise 1%": [True, True, True, True],
    }
    fast, slow = old[:30], 1.3 * old[30:60]
    mostly_fast, mostly_slow = np.append(fast[:16], slow[:14]), np.append(fast[16:], slow[14:])
    assert np.median(mostly_slow) > 1.1 * np.median(mostly_fast)
    assert not rivals.asv(mostly_fast, mostly_slow)


def test_mann_whitney_is_the_published_test(rivals: ModuleType):
    """By hand: ranks 1, 2, 4 and 3, 5, 6 give U = 1, and z = (4.5 - 1) / sqrt(5.25)."""
    z = 3.5 / math.sqrt(5.25)
    assert rivals.mann_whitney(np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0, 6.0])) == pytest.approx(
        math.erfc(z / math.sqrt(2))
    )


def test_criterion_draws_what_resampling_gives(rivals: ModuleType):
    random = np.random.default_rng(1)
    old, new = random.gamma(4, size=600), 1.15 * random.gamma(4, size=600)
    resampled = [x[random.integers(600, size=(4000, 600))].mean(axis=1) for x in (old, new)]
    low = float(np.quantile(resampled[1] / resampled[0] - 1, 0.025))
    for nudge, fails in ((-0.01, False), (0.01, True)):
        scaled = new * (1.01 + nudge) / (1 + low)
        assert rivals.criterion(old, scaled) is fails


def test_the_hour_is_what_5_percent_of_a_p95_take_among_bursts(simulated: ModuleType, quality: ModuleType):
    """Spells come by chance: how many seconds it takes to tell the share of calls beyond a limit 5 % off from 5 %."""
    first, shares = simulated._noise_distribution()
    grid, below = simulated._BIN * (first + np.arange(len(shares))), np.cumsum(shares)
    plain = 1 + simulated.DRIFT * np.sin(np.linspace(0, 2 * math.pi, 200, endpoint=False))
    slowed = plain[:, None] * np.linspace(*simulated.SPELL_FACTOR, 200)
    (shortest, longest), pause = simulated.SPELL, simulated.BETWEEN_SPELLS
    length, square = (shortest + longest) / 2, (longest**3 - shortest**3) / 3 / (longest - shortest)
    calls = pause * np.mean(1 / plain) + length * np.mean(1 / slowed)

    def beyond(limit: float, slowness: np.ndarray) -> np.ndarray:
        return (1 - np.interp(math.log(limit) - np.log(slowness), grid, below)) / slowness

    def share(limit: float) -> float:
        return float((pause * beyond(limit, plain).mean() + length * beyond(limit, slowed).mean()) / calls)

    def seconds(limit: float) -> float:
        excess = (beyond(limit, slowed) - share(limit) / slowed).mean(axis=0)  # calls beyond, for a second of spell
        spread = math.sqrt(square * np.mean(excess**2) * (pause + length)) / calls  # of the share, after one second
        return ((normal(ALPHA) + NormalDist().inv_cdf(0.95)) * spread / (share(limit) - 0.05)) ** 2

    p95 = next(limit for limit in np.arange(1.5, 2.5, 0.001) if share(limit) <= 0.05)
    needed = max(seconds(p95 / quality.EFFECT), seconds(p95 * quality.EFFECT))
    *_, before, last = quality.P95_ROUNDS[quality.P95_HOUR]
    per_round = 2 * simulated.CALLS * simulated.CALL * (pause + length) / calls
    assert 50 * 60 < needed < 60 * 60
    assert before * per_round < needed < last * per_round < 70 * 60


def test_the_stored_table_is_of_a_thousand_runs_and_keeps_its_promises(quality: ModuleType):
    stored = json.loads((BENCHMARKS / "results/gate_quality.json").read_text(encoding="utf-8"))
    assert stored["settings"]["seeds"] >= 1000
    sections = {"speedup", quality.P95, quality.P95_HOUR, "accuracy drop"}
    rows = [row for row in stored["rows"] if row["section"] in sections]
    assert len(rows) == 3 * 5 + 3 * 5 + 3 + 6
    near = {"p95 <= 0.952 x true p95", "p95 <= 1.050 x true p95"}
    assert near < {row["case"] for row in rows if row["section"] == quality.P95_HOUR}
    for row in rows:
        case = row["case"]
        assert row["runs"] >= 1000, row
        at_the_limit = case in {"speedup >= 2, true 2", "p95 <= 1.000 x true p95"} or "true 1 pt" in case
        assert row["wrong"] <= (0.05 if at_the_limit else 0.01), row
        if case.startswith("speedup") and case.endswith("true 1"):
            assert row["fail"] <= 0.001, row
        if row["section"] == quality.P95 and row["machine"] == "bursts" and case in near:
            # Too few spells come in 250 s: undecided, and never wrong. In an hour these are decided like all others.
            assert row["wrong"] == 0, row
            continue
        assert at_the_limit or row["right"] >= 0.95, row
    for total in stored["totals"]:
        assert total["mlopt wrong"] <= total["other wrong"], total
        assert total["mlopt fails at the limit"] < total["other fails at the limit"], total
