"""Where the time of one inference goes, operator by operator, by ONNX Runtime's own profile.

The graph is the one that runs: fused, and with the layout changes that the runtime adds. A profile slows what it
watches, so it explains a latency and never replaces one. PyTorch keeps no such profile here.
"""

from __future__ import annotations

import json
import tempfile
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from mlopt.data.dataset import Dataset
from mlopt.errors import MeasureError, MloptError
from mlopt.measure.candidate import Candidate, feeds_of
from mlopt.measure.latency import alone
from mlopt.measure.schedule import Notify
from mlopt.model import Kind
from mlopt.report.schema import OperatorTime
from mlopt.results.timing import NodeTime
from mlopt.worker import Worker, WorkerDiedError, WorkerRaisedError

_SECONDS = 0.5
_WARM_UP_CALLS = 3
_LEAST_CALLS = 3
_MOST_CALLS = 100  # each adds an event per node to a file that is read whole
_NODE_SUFFIX = "_kernel_time"
_OPEN_TIMEOUT, _RUN_TIMEOUT = 600.0, 600.0


def profiles(
    candidates: Sequence[Candidate], samples: Dataset, logs: Path, notify: Notify
) -> tuple[dict[str, tuple[OperatorTime, ...]], tuple[str, ...]]:
    """Time each model operator by operator, one after the other; return also what could not be timed, and why."""
    found: dict[str, tuple[OperatorTime, ...]] = {}
    notes: list[str] = []
    if not candidates:
        return found, ()
    with alone(notify):
        for number, each in enumerate(candidates):
            notify(f"profiling {each.name}", number / len(candidates))
            try:
                nodes = profile(each, samples, _SECONDS, logs / f"operators-{number}.log")
            except MloptError as error:
                notes.append(f"the operators of {each.name} were not timed: {error.problems[0].what}")
            else:
                found[each.name] = by_type(nodes)
    return found, tuple(notes)


def profile(candidate: Candidate, samples: Dataset, seconds: float, log: Path) -> list[NodeTime]:
    """Run the candidate for about ``seconds`` in a process of its own; warming up comes first and is not counted.

    Returns the nodes in the order in which they first ran; none for a model that ONNX Runtime does not run. Raises
    ``MeasureError``.
    """
    if candidate.model.kind is not Kind.ONNX:
        return []
    with tempfile.TemporaryDirectory(prefix="mlopt-profile-") as folder, Worker(log) as worker:
        try:
            worker.host(_Profiled, candidate, samples, Path(folder), timeout=_OPEN_TIMEOUT)
            nodes: list[NodeTime] = worker.invoke("nodes", seconds, timeout=_RUN_TIMEOUT + 20 * seconds)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise MeasureError("the model could not be profiled", where=candidate.name, got=str(error)) from error
    return nodes


def by_type(nodes: Iterable[NodeTime]) -> tuple[OperatorTime, ...]:
    """Return the time of all operators of each type, the most time first."""
    count: Counter[str] = Counter()
    spent: dict[str, float] = defaultdict(float)
    for node in nodes:
        count[node.op_type] += 1
        spent[node.op_type] += node.ms
    return tuple(
        OperatorTime(op_type=op_type, nodes=count[op_type], ms=ms)
        for op_type, ms in sorted(spent.items(), key=lambda item: (-item[1], item[0]))
    )


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


class _Profiled:
    """The candidate's side: a session that writes down what each node takes."""

    def __init__(self, candidate: Candidate, samples: Dataset, folder: Path) -> None:
        from mlopt.runtimes.onnxruntime import create_session, session_options

        options = session_options(candidate.options, candidate.model)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        self._feeds = cycle(feeds_of(candidate, samples))
        self._session = create_session(candidate.model, options, candidate.options.device)

    def nodes(self, seconds: float) -> list[NodeTime]:
        """Warm up, run, and read what was written down."""
        for _ in range(_WARM_UP_CALLS):
            self._session.run(None, next(self._feeds))
        runs, end = 0, time.perf_counter() + seconds
        while runs < _LEAST_CALLS or (time.perf_counter() < end and runs < _MOST_CALLS):
            self._session.run(None, next(self._feeds))
            runs += 1
        written = Path(self._session.end_profiling())
        return node_times(json.loads(written.read_text(encoding="utf-8")), runs)
