"""A thousand random graphs through the passes: what comes out right, what is refused and why, and what must not happen.

python benchmarks/random_graphs.py [--graphs N] [--first SEED] [--jobs J] [--only CHAIN,...] [--again]

Each graph goes through each chain of ``graph_trials.CHAINS`` in a worker with a time limit, as the pipeline runs it,
and the result is run in onnxruntime with optimizations on and off on fresh inputs. Verdicts are written to
.bench/random_graphs.jsonl as they come, and a later run goes on from there (--again forgets them); the counts go to
benchmarks/results/random_graphs.json. Exits 1 if something crashed, or was wrong and would have been passed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from graph_generator import generate
from graph_trials import CHAINS, Trials, Verdict

from mlopt.core.hardware import detect
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError
from mlopt.formats.onnx.graph import operators
from mlopt.results.environment import environment

RESULT = Path(__file__).parent / "results/random_graphs.json"
LOG = Path(__file__).parents[1] / ".bench/random_graphs.jsonl"
SECONDS = 60.0
OUTCOMES = ("right", "refused", "error", "gated", "wrong", "crash")
Row = dict[str, Any]


def main() -> None:
    """Run what is asked for, print the table, and store it if it is the whole."""
    arguments = parse()
    if arguments.again:
        LOG.unlink(missing_ok=True)
    LOG.parent.mkdir(exist_ok=True)
    chains = tuple(arguments.only.split(",")) if arguments.only else tuple(CHAINS)
    seeds = range(arguments.first, arguments.first + arguments.graphs)
    known = {row["seed"]: row for row in rows() if row["seed"] in seeds}
    waiting: SimpleQueue[int] = SimpleQueue()
    for seed in seeds:
        if not known.get(seed, {"chains": {}})["chains"].keys() >= set(chains):
            waiting.put(seed)
    started = time.monotonic()
    with LOG.open("a") as log, ThreadPoolExecutor(arguments.jobs) as pool:
        for row in collect(pool, waiting, chains, arguments.jobs):
            log.write(json.dumps(row) + "\n")
            log.flush()
            known[row["seed"]] = row
            print(f"\r{len(known)} of {len(seeds)}", end="", file=sys.stderr, flush=True)
    print(f"\n{time.monotonic() - started:.0f} s", file=sys.stderr)
    summary = summarize(list(known.values()), chains)
    show(summary)
    if len(seeds) >= 1000 and not arguments.only:
        RESULT.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if summary["bad"] else 0)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", action="store_true")
    return parser.parse_args()


def rows() -> Iterator[Row]:
    """Yield what earlier runs found; the last line of one that was killed may be cut."""
    for line in LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def collect(pool: ThreadPoolExecutor, waiting: SimpleQueue[int], chains: tuple[str, ...], jobs: int) -> Iterator[Row]:
    """Let each job take one seed after the other, and yield the rows as they come."""
    done: SimpleQueue[Row | None] = SimpleQueue()

    def job() -> None:
        try:
            work(waiting, chains, done)
        finally:
            done.put(None)

    running = [pool.submit(job) for _ in range(jobs)]
    for _ in range(jobs):
        while (row := done.get()) is not None:
            yield row
    for each in running:
        each.result()


def work(waiting: SimpleQueue[int], chains: tuple[str, ...], done: SimpleQueue[Row | None]) -> None:
    """Try seeds in a worker, and start another where one dies."""
    with tempfile.TemporaryDirectory() as folder:
        log, worker = Path(folder) / "log", None
        while not waiting.empty():
            seed = waiting.get()
            row: Row = {"seed": seed, "chains": {}, "operators": sorted(operators(generate(seed).model.graph))}
            for chain in (None, *chains):
                try:
                    if worker is None:
                        worker = start(log)
                        if chain is not None:
                            worker.invoke("begin", seed, timeout=SECONDS)
                    if chain is None:
                        row["no_witness"] = worker.invoke("begin", seed, timeout=SECONDS)
                        if row["no_witness"] is not None:
                            break
                    else:
                        row["chains"][chain] = asdict(worker.invoke("run", chain, timeout=SECONDS))
                except (WorkerDiedError, WorkerRaisedError) as error:
                    if worker is not None:
                        worker.close()
                    worker = None
                    if chain is None:
                        row["no_witness"] = f"the source: {error}"
                        break
                    row["chains"][chain] = asdict(Verdict("crash", str(error)[:160]))
            row["chains"] |= {chain: {"outcome": "none"} for chain in chains if row["no_witness"] is not None}
            done.put(row)
        if worker is not None:
            worker.invoke("end")
            worker.close()


def start(log: Path) -> Worker:
    """Start a worker that holds ``Trials``."""
    worker = Worker(log)
    worker.host(Trials)
    return worker


def summarize(found: list[Row], chains: tuple[str, ...]) -> Row:
    """Count outcomes and reasons, and list the seeds of what must not happen."""
    found.sort(key=lambda row: row["seed"])
    judged = [row for row in found if row["no_witness"] is None]
    table: dict[str, Counter[str]] = {chain: Counter() for chain in chains}
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    bad: list[Row] = []
    for row in judged:
        for chain in chains:
            verdict = row["chains"][chain]
            table[chain][verdict["outcome"]] += 1
            if verdict["reason"]:
                reasons[f"{chain}: {verdict['outcome']}"][verdict["reason"]] += 1
            if verdict["outcome"] in {"wrong", "crash"}:
                bad.append({"seed": row["seed"], "chain": chain, **verdict})
    return {
        "environment": environment(detect()).model_dump(mode="json"),
        "graphs": len(found),
        "judged": len(judged),
        "no_witness": Counter(row["no_witness"] for row in found if row["no_witness"] is not None),
        "operators": sorted({name for row in found for name in row["operators"]}),
        "chains": {chain: {name: table[chain][name] for name in OUTCOMES} for chain in chains},
        "reasons": {key: dict(counts.most_common()) for key, counts in sorted(reasons.items())},
        "bad": bad,
    }


def show(summary: Row) -> None:
    """Print the table, as it stands in docs/random-graphs.md."""
    print(f"{summary['graphs']} graphs of {len(summary['operators'])} operators, {summary['judged']} judged\n")
    for reason, count in summary["no_witness"].items():
        print(f"no witness: {count} x {reason}")
    print("| chain | " + " | ".join(OUTCOMES) + " |\n|---|" + "---|" * len(OUTCOMES))
    for chain, counts in summary["chains"].items():
        print(f"| {chain} | " + " | ".join(str(counts[name]) for name in OUTCOMES) + " |")
    for key, counts in summary["reasons"].items():
        print(f"\n{key}")
        for reason, count in counts.items():
            print(f"  {count} x {reason}")
    for each in summary["bad"]:
        print(f"BAD seed {each['seed']}, {each['chain']}: {each['outcome']}: {each['reason']}")


if __name__ == "__main__":
    main()
