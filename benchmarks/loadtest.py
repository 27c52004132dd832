"""Does `mlopt loadtest` see what a closed loop hides, tell servers apart, and know when it was late itself?

python benchmarks/loadtest.py [--brief] [--k6 .bench/k6/bin/k6] [--output FILE]     # about 10 minutes; --brief: one

`make loadtest` does the same. Wants a quiet machine. All servers are `loadtest_server.py`, on loopback, whose latencies
are their own schedule.

stall   A server that stalls for 1 s of every 4: the 99th percentile of that schedule is 0.96 s more than what a request
        takes. `mlopt loadtest` has to come within a tenth of it. Beside it one client in a closed loop, and k6 with a
        constant arrival rate, as a witness who is not mlopt (none of its iterations may be dropped).
alike   Two equal servers, 20 times: none may be called slower or faster.
slower  One of them a tenth slower, 20 times: at least 18 have to be found.
late    The generator is stopped for 0.3 s of every second (SIGSTOP), with a limit of 100 ms: the run has to be
        inconclusive (exit 3), and to say that the generator was late.

The result goes to benchmarks/results/loadtest.json; the exit code is 1 if anything is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.core.hardware import detect_cpu
from mlopt.loadtest.child import serving
from mlopt.loadtest.request import LoadRequest
from mlopt.loadtest.run import run
from mlopt.protocol.messages import write_request
from mlopt.results.environment import environment

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results/loadtest.json"
MODEL = "doubled"
TAKES_MS, STALL_S, EVERY_S, STALL_RATE = 20.0, 1.0, 4.0, 40.0
PAIR_RATE, PAIR_SECONDS = 100.0, 8.0
SLOWER = 1.1
LATE_LIMIT_MS = 100.0
TRUTH_MS = TAKES_MS + 1000 * (STALL_S - 0.01 * EVERY_S)
"""A request comes at any phase alike: of 100, one comes in the first 0.04 s of a stall."""
WITHIN = 0.1

K6_SCRIPT = """
import http from 'k6/http';
export const options = {
  scenarios: { open: { executor: 'constant-arrival-rate', rate: %(rate)d, timeUnit: '1s', duration: '%(seconds)ds',
    preAllocatedVUs: 200, maxVUs: 200 } },
  summaryTrendStats: ['med', 'p(99)'],
};
const body = JSON.stringify({inputs: [{name: 'x', shape: [1, 16], datatype: 'FP32', data: Array(16).fill(0.5)}]});
export default function () {
  http.post('%(url)s/v2/models/%(model)s/infer', body, {headers: {'Content-Type': 'application/json'}});
}
"""


def main() -> None:
    """Run each part, store the figures, and tell what is not as it should be."""
    options = arguments()
    began = time.monotonic()
    seconds, pairs = (12.0, 2) if options.brief else (40.0, 20)
    found = {
        "stall": stall(seconds, options.k6),
        "alike": pair(pairs, 1.0),
        "slower": pair(pairs, SLOWER),
        "late": late(),
    }
    wrong = judged(found, pairs)
    document = {
        "environment": environment(detect_cpu()).model_dump(mode="json"), "brief": options.brief,
        "seconds": round(time.monotonic() - began, 1), **found, "wrong": wrong,
    }  # fmt: skip
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({**found, "wrong": wrong}, indent=1))
    sys.exit(1 if wrong else 0)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--k6", type=Path, default=ROOT / ".bench/k6/bin/k6")
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


@contextmanager
def server(**schedule: float) -> Iterator[str]:
    """Give the address of a server with this schedule."""
    words = [word for name, value in schedule.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]
    with serving([sys.executable, str(Path(__file__).with_name("loadtest_server.py")), *words]) as url:
        yield url


def stall(seconds: float, k6: Path) -> dict[str, Any]:
    """Ask the server that stalls, in three ways, one after the other."""
    with server(takes_ms=TAKES_MS, stall=STALL_S, every=EVERY_S) as url:
        figures = open_loop(url, seconds)["figures"]
        closed = closed_loop(url, seconds)
        witness = k6_loop(url, seconds, k6)
    opened = figures["latency_ms"]
    return {
        "truth_p99_ms": TRUTH_MS, "seconds": seconds, "rate": STALL_RATE,
        "open": {"p50_ms": opened["p50"], "p99_ms": opened["p99"], "p99_ci95": opened["ci95"].get("p99"),
                 "n": opened["n"], "errors": figures["errors"], "lateness_p99_ms": figures["lateness_ms"]["p99"],
                 "off_by": opened["p99"] / TRUTH_MS - 1},
        "closed": closed, "k6": witness,
    }  # fmt: skip


def open_loop(url: str, seconds: float) -> dict[str, Any]:
    """Run ``mlopt loadtest`` as a user does, and return its report."""
    done = subprocess.run(command(url, STALL_RATE, seconds), stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def command(url: str, rate: float, seconds: float, *more: str) -> list[str]:
    """Return how this Python puts load on a server."""
    words = [url, "--model", MODEL, "--rate", f"{rate:g}", "--seconds", f"{seconds:g}s", "--json", *more]
    return [sys.executable, "-m", "mlopt", "loadtest", *words]


def closed_loop(url: str, seconds: float) -> dict[str, Any]:
    """Ask with one client that waits for each answer."""
    message = write_request({"x": np.full((1, 16), 0.5, np.float32)})
    took, end = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        asked = urllib.request.Request(f"{url}/v2/models/{MODEL}/infer", message.body, dict(message.headers))
        with urllib.request.urlopen(asked) as answer:
            answer.read()
        took.append(1000 * (time.perf_counter() - began))
    return {"p50_ms": float(np.median(took)), "p99_ms": float(np.quantile(took, 0.99)), "n": len(took)}


def k6_loop(url: str, seconds: float, k6: Path) -> dict[str, Any] | None:
    """Let k6 ask at a constant rate; None where it is not installed."""
    if not k6.exists():
        print(f"{k6} is not there (make .bench/k6/.installed): no witness", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        script, summary = Path(folder) / "open.js", Path(folder) / "summary.json"
        script.write_text(K6_SCRIPT % {"rate": STALL_RATE, "seconds": seconds, "url": url, "model": MODEL})
        environ = os.environ | {"K6_NO_USAGE_REPORT": "true"}
        words = [str(k6), "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), str(script)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environ)
        found = json.loads(summary.read_text())["metrics"]
    return {
        "p50_ms": found["http_req_duration"]["med"], "p99_ms": found["http_req_duration"]["p(99)"],
        "n": found["iterations"]["count"], "dropped": found.get("dropped_iterations", {}).get("count", 0),
    }  # fmt: skip


def pair(times: int, factor: float) -> dict[str, Any]:
    """Compare two servers, the first slower by ``factor``, in ``times`` runs with other seeds."""
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(server(takes_ms=TAKES_MS * slower, seed=seed)) for slower, seed in ((factor, 1), (1, 2))
        )
        runs = [compared(one, other, seed) for seed in range(times)]
    called = [each for each in runs if {"slower", "faster"} & {each["p50"]["found"], each["p99"]["found"]}]
    slower = [each for each in runs if "slower" in (each["p50"]["found"], each["p99"]["found"])]
    return {"runs": times, "factor": factor, "called_apart": len(called), "called_slower": len(slower), "each": runs}


def compared(one: str, other: str, seed: int) -> dict[str, Any]:
    """Run ``mlopt loadtest --against`` once."""
    request = LoadRequest(
        target=one, against=other, model=MODEL, rate=PAIR_RATE, seconds=PAIR_SECONDS, seed=seed
    )  # fmt: skip
    record = run(request, lambda *_: None)
    assert record.comparison is not None
    keys = ("value_ms", "other_ms", "difference_ms", "interval", "found", "reason")
    found: dict[str, Any] = {
        each.percentile: {key: value for key, value in each.model_dump(mode="json").items() if key in keys}
        for each in record.comparison.differences
    }
    late = record.figures.lateness_ms
    return found | {"doubt": record.doubt, "lateness_p99_ms": None if late is None else late.p99}


def late() -> dict[str, Any]:
    """Stop the generator again and again while it puts load on."""
    with server(takes_ms=TAKES_MS) as url:
        words = command(url, 100.0, 8.0, "--slo", f"p99={LATE_LIMIT_MS:g}ms")
        child = subprocess.Popen(words, stdout=subprocess.PIPE)
        while child.poll() is None:
            time.sleep(0.7)
            for what, pause in ((signal.SIGSTOP, 0.3), (signal.SIGCONT, 0.0)):
                if child.poll() is None:
                    child.send_signal(what)
                    time.sleep(pause)
        printed, _ = child.communicate()
    found = json.loads(printed)
    return {
        "exit_code": child.returncode, "verdict": found["verdict"], "doubt": found["doubt"], "remedy": found["remedy"],
        "p99_ms": found["figures"]["latency_ms"]["p99"], "lateness_p99_ms": found["figures"]["lateness_ms"]["p99"],
    }  # fmt: skip


def judged(found: dict[str, Any], pairs: int) -> list[str]:
    """Return what is not as it should be."""
    stalled, witness = found["stall"], found["stall"]["k6"]
    late_as_it_should = found["late"]["exit_code"] == 3 and "the generator was late" in str(found["late"]["doubt"])
    faults = {
        "p99 of the open loop is not within a tenth of the schedule's": abs(stalled["open"]["off_by"]) > WITHIN,
        "the closed loop hides nothing": stalled["closed"]["p99_ms"] > TRUTH_MS / 2,
        "k6 does not agree": witness is not None and abs(witness["p99_ms"] / TRUTH_MS - 1) > WITHIN,
        "k6 dropped requests": witness is not None and witness["dropped"] > 0,
        "k6 was not asked": witness is None,
        "equal servers were called apart": found["alike"]["called_apart"] > 0,
        "a slower server was not found": found["slower"]["called_slower"] < pairs * 18 // 20,
        "a late generator was believed": not late_as_it_should,
    }
    return [what for what, is_so in faults.items() if is_so]


if __name__ == "__main__":
    main()
