"""What half precision does to a model's outputs, seen on any CPU before anything is written.

A CPU without FP16 arithmetic hides what goes wrong: onnxruntime computes such a graph in FP32 and leaves out the casts
between, so a value beyond 65504 passes unharmed here and is infinite on a GPU. A rehearsal computes in FP32 too, but
rounds every tensor that would be stored in half precision, by a pair of casts that onnxruntime keeps. That is what a
device computes which stores 16 bits and adds up in 32.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlopt.compress.half.graph import Half, always_float, float_tensors
from mlopt.compress.quantization.prepared import WorkingCopy, save
from mlopt.core.errors import MeasureError
from mlopt.data.choice import some
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batches
from mlopt.data.ragged import of_one_call
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.names import fresh, value_names
from mlopt.measure.parity import compare
from mlopt.runtimes.onnxruntime import as_text, cause, quiet_session, runtime_errors

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_SAMPLES = 64
"""A rehearsal runs so many: ranges come from all samples, and the error of the outputs settles long before."""


@dataclass(frozen=True)
class Stage:
    """A model in FP32, real samples, and what it answers to them."""

    path: Path
    """The graph alone; its weights lie beside it, so that a rehearsal never copies them."""
    feeds: tuple[Mapping[str, Array], ...]
    expected: tuple[Mapping[str, Array], ...]


@dataclass(frozen=True)
class Verdict:
    """What a rehearsal came to."""

    fault: str | None
    """Why these nodes cannot have half precision together; None if they can."""
    sqnr_db: float = math.inf
    """Signal to noise of the worst output, its noise averaged over the batches."""


@dataclass
class Admission:
    """The nodes that may have half precision, and why the others may not."""

    admitted: frozenset[str] = frozenset()
    left: dict[str, str] = field(default_factory=dict)
    verdict: Verdict = Verdict("nothing was tried")
    trials: int = 0
    time_up: bool = False


def set_stage(prepared: WorkingCopy, data: Dataset, inputs: Sequence[TensorSpec], batch_size: int) -> Stage:
    """Run the model in FP32, which every rehearsal is compared with."""
    import onnx

    path = prepared.path
    if not prepared.external:
        path = prepared.path.with_name("stage.onnx")
        save(onnx.load(prepared.path), path, external=True)
    chosen = some(data, _SAMPLES).tolist()
    feeds = tuple(feed for feed, _real in batches(data, inputs, batch_size, chosen))
    session = quiet_session(path, "basic")  # fusions or not: the casts stand between most nodes anyway
    return Stage(path, feeds, tuple(_run(session, feed) for feed in feeds))


def simulate(stage: Stage, converted: frozenset[str], watched: frozenset[str], half: Half, floor_db: float) -> Verdict:
    """Compute the samples with the ``converted`` nodes in ``half``.

    It ends as soon as a ``watched`` tensor is no longer finite, or the outputs cannot reach ``floor_db`` any more. One
    sample on the edge between two classes decides nothing: the noise of all batches counts.
    """
    proto = read_graph(stage.path)
    probes = _round(proto, converted, watched, half)
    path = stage.path.with_name("rehearsal.onnx")
    path.write_bytes(proto.SerializeToString())
    noise, allowed = 0.0, 10 ** (-floor_db / 10)
    try:
        session = quiet_session(path, "basic")
        for feed, expected in zip(stage.feeds, stage.expected, strict=True):
            got = _run(session, feed)
            over = next((name for probe, name in probes.items() if not np.isfinite(got[probe])), None)
            if over is not None:
                return Verdict(f"'{over}' is no longer finite in {half.name}")
            sqnr = compare(*of_one_call(expected, {name: got[name] for name in expected})).sqnr_db
            noise += (10 ** (-sqnr / 10) if sqnr is not None else 0.0) / len(stage.feeds)
            if noise > allowed:
                said = f"an output keeps at most {_decibels(noise):.1f} dB, and {floor_db:g} dB are wanted"
                return Verdict(f"too lossy in {half.name}: {said}", _decibels(noise))
    except MeasureError as error:
        problem = error.problems[0]
        return Verdict(f"in {half.name}, {problem.what} ({problem.where})")
    except runtime_errors() as error:
        return Verdict(f"onnxruntime does not run it in {half.name}: {cause(error)}")
    return Verdict(None, _decibels(noise))


def admit(groups: Sequence[Sequence[str]], attempt: Callable[[frozenset[str]], Verdict], seconds: float) -> Admission:
    """Admit as many nodes as ``attempt`` allows together: a whole group at once, or else by halves.

    Earlier groups go first, and larger parts before smaller ones, so that little is left undecided when time is up.
    """
    result, deadline = Admission(), time.monotonic() + seconds
    for group in groups:
        waiting = deque([tuple(group)] if group else [])
        while waiting:
            part = waiting.popleft()
            if time.monotonic() >= deadline:
                result.left |= dict.fromkeys(part, f"undecided when the {seconds:g} s were over")
                result.time_up = True
                continue
            verdict = attempt(result.admitted | frozenset(part))
            result.trials += 1
            if verdict.fault is None:
                result.admitted |= frozenset(part)
                result.verdict = verdict
            elif len(part) == 1:
                result.left[part[0]] = verdict.fault
            else:
                middle = len(part) // 2
                waiting += [part[:middle], part[middle:]]
    return result


def _round(proto: onnx.ModelProto, converted: frozenset[str], watched: frozenset[str], half: Half) -> dict[str, str]:
    """Round what converted nodes read and write; return the outputs added, and the tensor that each tells about.

    Each sums up the magnitudes of one watched tensor: the sum is finite exactly if every value is.
    """
    import onnx

    graph = proto.graph
    floats, taken = float_tensors(graph), value_names(graph)
    rounded: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name not in converted:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name in floats and not always_float(node, index):
                if name not in rounded:
                    rounded[name] = _add(f"{name}/rounded", taken)
                    nodes += _casts(name, rounded[name], half, taken)
                node.input[index] = rounded[name]
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in floats:
                rounded[name] = name
                node.output[index] = exact = _add(f"{name}/exact", taken)
                nodes += _casts(exact, name, half, taken)
    probes = {_add(f"{name}/sum", taken): name for name in rounded if name in watched}
    nodes += [onnx.helper.make_node("ReduceL1", [rounded[n]], [probe], keepdims=0) for probe, n in probes.items()]
    graph.output.extend(onnx.helper.make_tensor_value_info(probe, 1, []) for probe in probes)
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)
    return probes


def _casts(source: str, target: str, half: Half, taken: set[str]) -> Iterator[onnx.NodeProto]:
    import onnx

    between = _add(f"{target}/half", taken)
    yield onnx.helper.make_node("Cast", [source], [between], to=half.dtype)
    yield onnx.helper.make_node("Cast", [between], [target], to=1)


def _add(name: str, taken: set[str]) -> str:
    """Return the name, or one like it that is not taken; it is then."""
    new = fresh(name, taken)
    taken.add(new)
    return new


def _decibels(noise: float) -> float:
    return -10 * math.log10(noise) if noise else math.inf


def _run(session: onnxruntime.InferenceSession, feed: Mapping[str, Array]) -> dict[str, Array]:
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, map(as_text, session.run(names, dict(feed))), strict=True))
