"""A study that runs inside the namespaces of a cluster: does the calls it is given, and tells what became of them.

Run by tests: ``toy_study.py ADDRESS FOLDER`` with JSON on standard input; a line of JSON for each call that is done.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from toy_laboratory import opener, refusing

from mlopt.core import network
from mlopt.core.errors import MloptError
from mlopt.tune.executor import Call
from mlopt.tune.on_ray import RayExecutor, RayLimits


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    network.guard()  # as the command does
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    address, folder = sys.argv[1], Path(sys.argv[2])
    asked = json.load(sys.stdin)
    calls = [Call(method, tuple(args), alone) for method, args, alone in asked["calls"]]
    open_ = refusing if asked.get("refuse") else opener(folder)
    limits = RayLimits(**asked.get("limits", {}))
    files = [Path(name) for name in asked.get("files", ())]
    try:
        with RayExecutor(address, open_, shared=folder, files=files, limits=limits) as executor:
            tell({"slots": executor.slots})
            for done in executor.run(calls):
                tell(asdict(done))
    except MloptError as error:
        tell({"raised": type(error).__name__, "text": str(error)})


main()
