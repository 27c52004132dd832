"""Does `target: {runtime: auto}` ship the fastest valid model there is, and how do other tools do beside it?

python benchmarks/runtimes.py [--cases NAME,...] [--seconds S] [--update] [--specialize]

The cases and their bars are those of ``precision.py``, and so are the tools; OpenVINO by itself comes to them. mlopt
gets OpenVINO, and the recipe `simplify, quantize: {mode: auto, optional: true}, fuse: {optional: true}`. What it ships
is verified, opened as its manifest says, and timed in one interleaved run with the FP32 graph in ONNX Runtime (the
baseline), a second copy of that, the other tools' models, and every other deployable that its search looked at. Each is
judged in its own runtime on the same samples. The models of other tools are made once and kept.

A whole run goes to benchmarks/results/runtimes_KIND.json, KIND being what the CPU has (bf16, vnni, avx2, arm), and what
OpenVINO was worth on it to mlopt/runtimes/measured.json; one of some cases only with --update, which merges it. With
--specialize, what `specialize` makes of the voice detector is measured instead, and merged.
`python benchmarks/runtimes_page.py` makes pages of what is stored. The exit code is 1 if something is not as it must
be: a missed bar, a rival or an own deployable that is measurably faster, a search that takes too long, a mean below the
aim. `make runtimes` makes the environments, runs all of it and writes the pages.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import precision_contenders as made
import runtimes_figures as figures
from precision_contenders import PEERS
from precision_figures import RESULTS, merged, store
from precision_models import CASES, ROOT
from precision_running import ROUNDS
from runtimes_case import VOICE, Settings, run, specialized
from runtimes_contenders import AUTO

from mlopt.core.hardware import detect
from mlopt.results.environment import environment
from mlopt.runtimes.table import runtime_named

MEASURED = ROOT / "mlopt/runtimes/measured.json"


def main() -> None:
    """Run what is asked for, store what was found, and say whether it is as it must be."""
    options = arguments()
    if runtime_named(figures.OTHER).missing:
        sys.exit("mlopt has no OpenVINO here: `make runtimes` gives it one")
    kind = figures.kind(detect())
    output = options.output or RESULTS / f"runtimes_{kind}.json"
    wrong = list(voice(options, output) if options.specialize else cases(options, output, kind))
    print("\n".join(wrong) or "all as it must be")
    sys.exit(1 if wrong else 0)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--seconds", type=float, default=3.0, help="timed seconds of each contender")
    parser.add_argument("--processes", type=int, default=1, help="so many of each contender are timed, in turn")
    parser.add_argument("--update", action="store_true", help="merge the cases of this run into the stored file")
    parser.add_argument("--specialize", action="store_true", help=f"only {VOICE}, with its rate fixed")
    parser.add_argument(
        "--runtime", default=AUTO, help="another target than auto: for a look, stored only with --output"
    )
    parser.add_argument("--output", type=Path, help="another file than that of this kind of CPU")
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    if unknown := sorted(set(options.cases) - set(CASES)):
        parser.error(f"no such case: {', '.join(unknown)}")
    return options


def document() -> dict[str, Any]:
    """Return what is stored of this machine and this run, without cases."""
    python = {peer.environment: peer.python for peer in PEERS if peer.environment}
    return {
        "environment": environment(detect()).model_dump(mode="json"),
        "versions": made.versions(python),
        "settings": {"rounds": ROUNDS, "threads": made.THREADS, "batch_size": 1},
        "cases": {},
    }


def cases(options: argparse.Namespace, output: Path, kind: str) -> Iterator[str]:
    """Run the cases and store them; yield what is not as it must be."""
    found = document()
    for name in options.cases:
        case = found["cases"][name] = run(name, Settings(options.runtime, options.seconds, options.processes))
        print(json.dumps({name: brief(case)}), flush=True)
        yield from figures.unmet(name, case)
    whole, asked = set(options.cases) == set(CASES), options.runtime == AUTO
    if not (asked or options.output) or not (whole or options.update):
        return
    found = merged(found, output, CASES) if options.update else found | kept_of(output)
    found["geometric_means"] = figures.means(found["cases"].values())
    store(found, output)
    print(json.dumps(found["geometric_means"]))
    if set(found["cases"]) == set(CASES):
        if kind in figures.TOLD_OF and not options.output:
            known = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
            store(figures.measured(known, kind, found), MEASURED)
        yield from figures.below_aim(found, kind)


def kept_of(output: Path) -> dict[str, Any]:
    """Return what a whole run does not measure again."""
    stored = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    return {key: stored[key] for key in ("specialize",) if key in stored}


def voice(options: argparse.Namespace, output: Path) -> Iterator[str]:
    """Measure the specialized voice detector, and put it beside the stored cases; yield what is not as it must be."""
    found = specialized(Settings(options.runtime, options.seconds))
    print(json.dumps({"specialize": found}))
    if (options.runtime == AUTO or options.output) and output.exists():
        store(merged(document(), output, CASES) | {"specialize": found}, output)
    yield from figures.unmet_specialized(found)


def brief(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case in a line: for each contender its speedup and what it misses, or why it failed."""
    lines = {}
    for name, row in {**case["contenders"], **case["deployables"]}.items():
        speed = f"{row['speedup']['median']:.2f}x" if row.get("speedup") else ""
        said = row.get("failed") or " ".join([speed, *(f"{k} {v:.4f}" for k, v in row["quality"].items())])
        lines[name] = said + "".join(f" misses {bar}" for bar in row.get("missed", ()))
    wanted = ("counted_speedup", "against_rivals", "against_all", "over_onnxruntime", "cost", "took_s", "in_the_way")
    return lines | {"mlopt": case["mlopt"].get("shipped"), **{key: case[key] for key in wanted}}


if __name__ == "__main__":
    main()
