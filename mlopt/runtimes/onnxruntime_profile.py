"""ONNX Runtime's own profile, read node by node.

The graph is the one that runs: fused, and with the layout changes that the runtime adds. A profile slows what it
watches, so it explains a latency and never replaces one.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mlopt.results.timing import NodeTime
from mlopt.runtimes.base import Feeds

if TYPE_CHECKING:
    import onnxruntime

_WARM_UP_CALLS = 3
_LEAST_CALLS = 3
_MOST_CALLS = 100  # each adds an event per node to a file that is read whole
_NODE_SUFFIX = "_kernel_time"


def nodes_of(session: onnxruntime.InferenceSession, feeds: Iterator[Feeds], seconds: float) -> list[NodeTime]:
    """Warm a profiled session up, run it for about ``seconds``, and read what it wrote down."""
    for _ in range(_WARM_UP_CALLS):
        session.run(None, dict(next(feeds)))
    runs, end = 0, time.perf_counter() + seconds
    while runs < _LEAST_CALLS or (time.perf_counter() < end and runs < _MOST_CALLS):
        session.run(None, dict(next(feeds)))
        runs += 1
    written = Path(session.end_profiling())
    return node_times(json.loads(written.read_text(encoding="utf-8")), runs)


def node_times(events: Sequence[Mapping[str, Any]], runs: int) -> list[NodeTime]:
    """Read ONNX Runtime's trace events; only those of the last ``runs`` inferences count.

    Events are ``{"cat", "name", "ts", "dur", "args": {"op_name", "node_index"}}`` in microseconds. What runs inside an
    operator, as the body of a Loop does, lies within its event, and its time is taken off.
    """
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")[-runs:]
    spent: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0] * runs)
    around: list[tuple[float, tuple[str, str, str]]] = []
    nodes = (e for e in events if e["cat"] == "Node" and e["name"].endswith(_NODE_SUFFIX) and e["ts"] >= starts[0])
    for event in sorted(nodes, key=lambda event: (event["ts"], -event["dur"])):
        key = event["name"].removesuffix(_NODE_SUFFIX), event["args"]["op_name"], event["args"]["node_index"]
        run = bisect_right(starts, event["ts"]) - 1
        while around and around[-1][0] <= event["ts"]:
            around.pop()
        if around:
            spent[around[-1][1]][run] -= event["dur"]
        spent[key][run] += event["dur"]
        around.append((event["ts"] + event["dur"], key))
    return [NodeTime(name, op_type, max(median(us), 0.0) / 1e3) for (name, op_type, _), us in spent.items()]
