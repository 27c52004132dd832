"""The first process of a network namespace: it starts a server there, asks it, and tells what it answered.

Run by ``engine_homes.in_namespace``, never imported. All processes of the namespace end with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import deployed


def main() -> None:
    told: dict[str, Any] = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Path(told["log"]).open("wb") as log:
        server = subprocess.Popen(
            told["command"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=deployed.environment()
        )
        until = time.monotonic() + told["seconds"]
        while any(deployed.status(told["port"], path) != 200 for path in told["ready"]):
            if server.poll() is not None or time.monotonic() > until:
                json.dump({"ended": server.poll()}, answers)
                return
            time.sleep(0.3)
        found = []
        for each in told["asks"]:
            many = deployed.together(
                each["times"], lambda _, each=each: deployed.ask(told["port"], each["path"], each.get("body"))
            )
            found.append([[code, answer, dict(headers)] for code, answer, headers in many])
        server.terminate()
        json.dump({"answers": found, "ended": server.wait(60)}, answers)
        answers.flush()


main()
