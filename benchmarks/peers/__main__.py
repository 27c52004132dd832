"""mlopt beside its rivals, side by side: `python -m peers`, with benchmarks/ on the path; `make peers` does all of it.

    python -m peers --rivals-only [--rows NAME,...]       rivals' models made, judged and kept; nothing is timed
    python -m peers [--rows NAME,...] [--mlopt tune|optimize|kept] [--budget 10m] [--seconds S] [--processes N]

Every row is a source, an ONNX export or file as it came, with samples and limits. The baseline is that file in ONNX
Runtime with all optimizations. mlopt gets a recipe with these limits as gates, the rivals what stands in
``peers/tools``; each tool has an environment of its own. All are judged in their own runtime on the same samples, and
timed in one interleaved run with two threads at batch 1, a process for each, a second copy of the baseline among them.

Rows are merged into benchmarks/results/peers_KIND.json, KIND being what the CPU has (bf16, vnni, avx2, arm), and
`python -m peers.page` makes docs/results.md of that. The exit code is 1 if something is not as it must be: mlopt
measurably slower than the fastest rival that keeps the limits, or a geometric mean beside those below the aim.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from precision_contenders import REQUIREMENTS, THREADS, Peer, versions
from precision_figures import RESULTS, merged, store
from precision_models import SOURCES
from precision_running import ROUNDS
from runtimes_figures import OTHER, kind

from mlopt.core.hardware import detect
from mlopt.core.packages import version
from mlopt.results.environment import environment
from mlopt.runtimes.table import runtime_named
from peers import figures
from peers.rivals import OWN_PACKAGES, RIVALS, entered
from peers.row import KEPT, Settings, prepared, run
from peers.starts import KEPT as STARTS_KEPT
from peers.starts import kept_starts


def main() -> None:
    """Run what is asked for, store each row as soon as it is there, and say whether all is as it must be."""
    options = arguments()
    if options.rivals_only:
        for name in options.rows:
            made(name)
        STARTS_KEPT.unlink(missing_ok=True)
        print(json.dumps({"starts": kept_starts()}, indent=1))
        return
    if runtime_named(OTHER).missing:
        sys.exit("mlopt has no OpenVINO here: `make peers` gives it one")
    output = options.output or RESULTS / f"peers_{kind(detect())}.json"
    settings = Settings(options.mlopt, options.budget, options.seconds, options.processes, retry=False)
    base = document()
    for name in options.rows:
        try:
            row = run(name, settings)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one row that cannot be had does not end the others
            row = None
            base["missing"] = {**base["missing"], name: " ".join(str(error).split())[:300] or type(error).__name__}
        found = merged(base | {"cases": {name: row} if row else {}}, output, SOURCES)
        found["missing"] = {key: why for key, why in found["missing"].items() if key not in found["cases"]}
        store(found, output)
        print(json.dumps({name: brief(row) if row else base["missing"][name]}), flush=True)
    wrong = list(unmet(json.loads(output.read_text(encoding="utf-8"))))
    print("\n".join(wrong) or "all as it must be")
    sys.exit(1 if wrong else 0)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(SOURCES), help=f"some of {', '.join(SOURCES)}")
    parser.add_argument("--rivals-only", action="store_true", help="make and judge the rivals' models, and end")
    parser.add_argument("--mlopt", choices=["optimize", "tune", KEPT], default="tune", help="what mlopt does")
    parser.add_argument("--budget", default="10m", help="of tune")
    parser.add_argument("--seconds", type=float, default=3.0, help="timed seconds of each contender in each process")
    parser.add_argument("--processes", type=int, default=2, help="so many of each contender are timed, in turn")
    parser.add_argument("--output", type=Path, help="another file than that of this kind of CPU")
    options = parser.parse_args()
    options.rows = options.rows.split(",")
    if unknown := sorted(set(options.rows) - set(SOURCES)):
        parser.error(f"no such row: {', '.join(unknown)}")
    return options


def made(name: str) -> None:
    """Make and judge the rivals of one row, once more those that failed before, and say what came of each."""
    try:
        field = entered(prepared(name), retry=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is said, and the next row has its turn
        print(json.dumps({name: {"failed": " ".join(str(error).split())[:300]}}), flush=True)
        return
    print(json.dumps({name: {rival: said(row) for rival, row in field.rows.items()}}, indent=1), flush=True)


def document() -> dict[str, Any]:
    """Return what is stored of this machine and this run, without rows."""
    environments = {rival.peer.environment if rival.peer else rival.environment for rival in RIVALS}
    pinned = [name for name in sorted(filter(None, environments)) if (REQUIREMENTS / f"{name}.txt").exists()]
    known = versions({name: Peer("", "", "", name).python for name in pinned})
    own = {name: str(found) for name in OWN_PACKAGES if (found := version(name))}
    return {
        "environment": environment(detect()).model_dump(mode="json"),
        "versions": own | known,
        "settings": {"rounds": ROUNDS, "threads": THREADS, "batch_size": 1},
        "starts": kept_starts(),
        "missing": {},
        "cases": {},
    }


def unmet(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not as it must be, of all that is stored."""
    for name, row in found["cases"].items():
        yield from figures.unmet(name, row)
    yield from (f"{name}: there is no row: {why}" for name, why in found["missing"].items())
    yield from figures.below_aim(found["cases"])


def brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in a few words."""
    lines = {name: said(each) for name, each in row["contenders"].items()}
    return lines | {"shipped": row["mlopt"]["shipped"], "against_best": row["against_best"], "took_s": row["took_s"]}


def said(each: Mapping[str, Any]) -> str:
    """Return a contender in a line: its speedup and what it misses, or why it failed."""
    if "failed" in each:
        return f"failed: {each['failed']}"
    speed = [f"{each['speedup']['median']:.2f}x"] if each.get("speedup") else []
    quality = [f"{name} {value:.4f}" for name, value in each["quality"].items()]
    return " ".join([*speed, *quality, *(f"misses {bar}" for bar in each["missed"])])


if __name__ == "__main__":
    main()
