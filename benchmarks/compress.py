"""Do pruning, distillation and quantization-aware training pay, in measured milliseconds and points?

python benchmarks/compress.py [--cases NAME,...] [--update]

Each case runs recipes of this project, changed where it asks for it (`compress_cases.py`), by ``mlopt.api.optimize``:
what is stored is what their reports say, and what was shipped is judged once more where a case compares two of them.
The cases of digits run with three seeds, the others once. Fashion-MNIST is needed: `apt install
dataset-fashion-mnist`, or FASHION_MNIST=FOLDER.

A whole run goes to benchmarks/results/compress.json; one of some cases only with --update, which merges it, and does
not train again what is unchanged since.
`python benchmarks/compress_page.py` makes docs/compress.md of what is stored. The exit code is 1 if something is not as
it must be. `make compress` runs all of it, about an hour and a half on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import compress_runs
from compress_bars import unmet
from compress_cases import CASES
from precision_figures import RESULTS, merged, store

from mlopt.core.hardware import detect
from mlopt.results.environment import environment, now

OUTPUT = RESULTS / "compress.json"


def main() -> None:
    """Run what is asked for, store what was found, and say whether it is as it must be."""
    names, update = arguments()
    document: dict[str, Any] = {
        "environment": environment(detect()).model_dump(mode="json"), "versions": {}, "cases": {},
    }  # fmt: skip
    wrong = []
    if not update:
        compress_runs.start()
    for name in names:
        case = document["cases"][name] = {"created": now(), **CASES[name]()}
        print(json.dumps({name: case}), flush=True)
        wrong += [f"{name}: {each}" for each in unmet(name, case)]
        if update:
            store(merged(document, OUTPUT, CASES), OUTPUT)
    if not update and set(names) == set(CASES):
        store(document, OUTPUT)
    print("\n".join(wrong) or "all as it must be")
    sys.exit(1 if wrong else 0)


def arguments() -> tuple[list[str], bool]:
    """Read the command line: the names of cases, and whether to merge them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--update", action="store_true", help="merge the cases of this run into the stored file")
    options = parser.parse_args()
    names = options.cases.split(",")
    if unknown := sorted(set(names) - set(CASES)):
        parser.error(f"no such case: {', '.join(unknown)}")
    return names, options.update


if __name__ == "__main__":
    main()
