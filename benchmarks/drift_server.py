"""What does sketching cost the embedded server? CPU time of its process for each request, with an observer and without.

python benchmarks/drift_server.py [--requests 500] [--rounds 60]      # a minute or two; drift.py calls it, too

`mlopt optimize` makes an artifact of a small model of 20 features and ten scores. It is served twice on the loopback,
in a process each: once without sketches, once with an observer that keeps to its share of the time. One client with a
kept connection sends requests of one row to both in turn, as fast as they are answered, so none are joined to batches.
Compared is the CPU time of the whole process, its threads included, which others on the machine do not take.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

FEATURES, CLASSES, WARM_UP = 20, 10, 400


def main() -> None:
    """Measure, or serve where this is the child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--observe", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        serve(options.child, observe=options.observe)
    else:
        print(json.dumps(measured(options.requests, options.rounds), indent=1))


def measured(requests: int, rounds: int) -> dict[str, Any]:
    """Return the figures of both servers, asked in turn: A B B A."""
    from mlopt.protocol.messages import write_request

    x = np.random.default_rng(0).standard_normal((1, FEATURES)).astype(np.float32)
    message = write_request({"x": x})
    with TemporaryDirectory() as folder, ExitStack() as stack:
        os.environ["MLOPT_CONFIG"] = f"{folder}/config"
        artifact(Path(folder) / "small")
        plain, watched = (stack.enter_context(_Child(Path(folder) / "small", observe=each)) for each in (False, True))
        for child in (plain, watched):
            child.ask(message, WARM_UP)
        taken: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * rounds):
            child = watched if number % 4 in (1, 2) else plain
            taken[child is watched].append(child.ask(message, requests))
        sketched, offered = watched.seen(), requests * rounds + WARM_UP
    lost = sorted(1 - a / b for a, b in zip(taken[False], taken[True], strict=True))
    ends = order_statistics(len(lost))
    return {
        "requests_each": requests * rounds,
        "cpu_us_per_request_without": round(1e6 * statistics.median(taken[False]), 1),
        "cpu_us_per_request_with": round(1e6 * statistics.median(taken[True]), 1),
        "throughput_lost": round(statistics.median(lost), 4),
        "throughput_lost_ci95": [round(lost[end], 4) for end in ends],
        "sketched_share": round(sketched / offered, 3),
    }  # fmt: skip


def order_statistics(n: int) -> tuple[int, int]:
    """Return the places, of n sorted figures, between which the median lies with 95 % confidence."""
    below = [sum(math.comb(n, k) for k in range(place + 1)) / 2**n for place in range(n // 2)]
    place = max((place for place, chance in enumerate(below) if chance <= 0.025), default=0)
    return place, n - place - 1


class _Child:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *, observe: bool) -> None:
        command = [sys.executable, __file__, "--child", str(folder), *(["--observe"] if observe else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline().rpartition(":")[2])

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def ask(self, message: Any, requests: int) -> float:
        """Send so many requests, and return the CPU seconds of the server for each."""
        before = self._cpu()
        self._client(message, requests)
        time.sleep(0.02)
        return (self._cpu() - before) / requests

    def _client(self, message: Any, requests: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for _ in range(requests):
            connection.request("POST", "/v2/models/small/infer", message.body, dict(message.headers))
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                sys.exit(f"the server answers {answer.status}")
        connection.close()

    def _cpu(self) -> float:
        """Return the seconds of CPU time of all threads, which stay: the kernel counts them in nanoseconds."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def seen(self) -> int:
        """Return how many rows were sketched."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", "/admin/models/small/sketches", headers={"Authorization": "Bearer benchmark"})
        found = json.loads(connection.getresponse().read())
        connection.close()
        return sum(each["rows"] for each in found.values())


def serve(folder: Path, *, observe: bool) -> None:
    """Serve the artifact on any free port, and tell where."""
    from mlopt.serve.request import ServeRequest
    from mlopt.serve.run import serve as run
    from mlopt.sketches import SketchObserver, plan_in

    inputs, outputs = _interface()
    observer = SketchObserver(lambda _: plan_in(folder, inputs, outputs)) if observe else None
    request = ServeRequest(artifacts=((None, folder),), port=0, observer=observer, token="benchmark")
    run(request, lambda started: print(started.url, flush=True))


def _interface() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    from mlopt.formats.model import TensorSpec

    return (
        (TensorSpec("x", "float32", ("batch", FEATURES)),), (TensorSpec("y", "float32", ("batch", CLASSES)),),
    )  # fmt: skip


def artifact(folder: Path) -> None:
    """Have `mlopt optimize` make an artifact of a small model, with its sketches."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(1)
    weights = {"w": (FEATURES, 256), "v": (256, CLASSES)}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
         helper.make_node("MatMul", ["r", "v"], ["y"])], "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
         for name, shape in weights.items()],
    )  # fmt: skip
    model, data = folder.with_name("small.onnx"), folder.with_name("x.npz")
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), model)
    np.savez(data, x=rng.standard_normal((2000, FEATURES)).astype(np.float32))
    words = ("optimize", model, "--data", data, "--quick", "--allow-ungated", "-o", folder)
    subprocess.run([sys.executable, "-m", "mlopt", *map(str, words)], check=False, stdout=sys.stderr)
    if not (folder / "model.sig").exists():
        sys.exit("no artifact came of it")


if __name__ == "__main__":
    main()
