"""Run a command and write what it took: wall and CPU seconds, and the memory of its largest process.

python -S measured.py USAGE.json SECONDS COMMAND...

Linux starts the peak of a child with that of its parent, so the parent has to be as small as this. A command that takes
longer than SECONDS is killed, and the exit code is 124.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main() -> None:
    """Run the command; the exit code is its own."""
    out, limit, *command = sys.argv[1:]
    started = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)
    late: list[bool] = []

    def stop(*_: object) -> None:
        late.append(True)
        os.killpg(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(max(1, round(float(limit))))
    _, status, usage = os.wait4(child, 0)
    signal.alarm(0)
    found = {
        "seconds": round(time.monotonic() - started, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }
    with open(out, "w", encoding="utf-8") as stream:  # noqa: PTH123 - pathlib takes as long to import as all of this
        json.dump(found, stream)
    sys.exit(124 if late else os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main()
