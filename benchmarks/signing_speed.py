"""How fast is an artifact signed and verified, in how little memory, and what does a small one cost?

python benchmarks/signing_speed.py [--size BYTES] [--repeat N]      # 2 GB, three times each: about a minute

Makes an artifact around a model file of that size in a temporary folder (TMPDIR; it needs room for two of them), and
runs `mlopt sign`, `mlopt verify` and `mlopt verify --copy-to` on it, each in a process of its own. Then a small one is
verified, and `mlopt --help` is asked, for their CPU time. Times are of the whole process, Python's start included;
the file was just written, so it is read from memory. The result goes to benchmarks/results/signing_speed.json; the exit
code is 1 if something is slower or larger than it may be: 400 MB/s, 200 MB of RSS, 0.4 s of CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

RESULT = Path(__file__).parent / "results/signing_speed.json"
LEAST_MB_PER_S, MOST_RSS_MB, MOST_CPU_S = 400, 200, 0.25
MB = 1_000_000
SMALL = 100_000


class Cost(NamedTuple):
    """What a process took: seconds on the clock, seconds of CPU (user and system), and its peak RSS in bytes."""

    wall: float
    cpu: float
    rss: int


def main() -> None:
    """Measure, store, and say whether the limits are kept."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="mlopt-signing-") as name:
        folder = Path(name)
        os.environ["MLOPT_CONFIG"] = str(folder / "config")
        large, small = folder / "large", folder / "small"
        for artifact, size in ((large, options.size), (small, SMALL)):
            in_a_process_of_its_own(make, artifact, size)
            mlopt("sign", artifact)
        throughput = [
            speed("sign", options, lambda: mlopt("sign", large)),
            speed("verify", options, lambda: mlopt("verify", large)),
            speed("verify --copy-to", options, lambda: verify_copy(large, folder / "copy")),
        ]
        start = [
            start_up("verify, small", options, lambda: mlopt("verify", small)),
            start_up("--help", options, lambda: mlopt("--help")),
        ]
    for row in (*throughput, *start):
        print(json.dumps(row))
    document = {
        "size_bytes": options.size,
        "limits": {"mb_per_s": LEAST_MB_PER_S, "peak_rss_mb": MOST_RSS_MB, "cpu_s": MOST_CPU_S},
        "environment": described(),
        "throughput": throughput,
        "start": start,
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(row["good"] for row in (*throughput, *start)) else 1)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2_000_000_000, help="bytes of the model file")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each command on the large artifact")
    parser.add_argument("--starts", type=int, default=15, help="runs of each command on the small one")
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def make(artifact: Path, size: int) -> None:
    """Write an artifact whose model is `size` random bytes: signing and verifying never look into it."""
    from mlopt.artifact.layout import Content, ModelEntry, Role, write
    from mlopt.formats.model import ONNX

    def fill(folder: Path) -> Content:
        block = os.urandom(1 << 20)
        with (folder / "model.onnx").open("wb") as stream:
            for start in range(0, size, len(block)):
                stream.write(block[: size - start])
        (folder / "report.json").write_text('{"verdict": "pass"}', encoding="utf-8")
        model = ModelEntry(file="model.onnx", kind=ONNX, digest="0" * 64, inputs=(), outputs=())
        files = {"model.onnx": Role.MODEL, "report.json": Role.REPORT}
        return Content(name=artifact.name, model=model, runtime="onnxruntime", options={}, verdict="pass", files=files)

    write(artifact, fill)


def in_a_process_of_its_own(function: Any, *args: Any) -> None:
    """Run a function in a child, so that this process stays small: a child's peak RSS is never below its parent's."""
    if (child := os.fork()) == 0:
        function(*args)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("the artifact could not be made")


def mlopt(*args: str | Path) -> Cost:
    """Run the command; return what it cost."""
    command = [sys.executable, "-m", "mlopt", *map(str, args)]
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    started = time.monotonic()
    child = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
    _, status, used = os.wait4(child, 0)
    wall = time.monotonic() - started
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: exit {os.waitstatus_to_exitcode(status)}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def verify_copy(artifact: Path, copy: Path) -> Cost:
    """Verify while copying, and remove the copy."""
    cost = mlopt("verify", artifact, "--copy-to", copy)
    shutil.rmtree(copy)
    return cost


def speed(what: str, options: argparse.Namespace, run: Any) -> dict[str, Any]:
    """Return the median throughput and the largest peak; the copy, which the disk decides, has no limit of speed."""
    costs = [run() for _ in range(options.repeat)]
    rates = [options.size / MB / cost.wall for cost in costs]
    rate, rss = statistics.median(rates), max(cost.rss for cost in costs) / MB
    return {
        "command": what,
        "mb_per_s": round(rate, 1),
        "mb_per_s_of_each": [round(one, 1) for one in rates],
        "cpu_s": round(statistics.median(cost.cpu for cost in costs), 3),
        "peak_rss_mb": round(rss, 1),
        "good": rss < MOST_RSS_MB and (rate >= LEAST_MB_PER_S or "copy" in what),
    }


def start_up(what: str, options: argparse.Namespace, run: Any) -> dict[str, Any]:
    """Return the CPU time of a command that has little to do; the first run, which fills Python's cache, is no part."""
    run()
    times = sorted(run().cpu for _ in range(options.starts))
    median = statistics.median(times)
    return {
        "command": what,
        "cpu_s": round(median, 3),
        "cpu_s_least": round(times[0], 3),
        "cpu_s_most": round(times[-1], 3),
        "good": median <= MOST_CPU_S,
    }


def described() -> dict[str, Any]:
    """Return the machine and the versions; imported last, to keep this process small."""
    from mlopt.core.hardware import detect
    from mlopt.results.environment import environment

    return environment(detect()).model_dump(mode="json")


if __name__ == "__main__":
    main()
