"""A small signed artifact to predict with, rows for it, and a worker that dies over some of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from gate_evidence import report
from onnx import TensorProto, helper, numpy_helper

from mlopt import report as reports
from mlopt.artifact import layout
from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.formats.onnx.file import open_onnx
from mlopt.predict.answers import Answers
from mlopt.predict.crew import Outcome
from mlopt.predict.shard_worker import ShardWork, ShardWorker
from mlopt.predict.shards import Fault, Span
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

WORDS, TOKENS, WIDTH = 20, 3, 4
TABLE = np.arange(WORDS * WIDTH, dtype=np.float32).reshape(WORDS, WIDTH)
DEADLY = "TEST_DEADLY_ROWS"
"""Names the rows that end a ``DyingShards``: ``3,17``."""


def words(path: Path) -> Path:
    """Write a model: ``ids`` are looked up in a table of 20 words, and ``root`` is NaN where ``x`` is negative."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["embedding"]), helper.make_node("Sqrt", ["x"], ["root"])]
    graph = helper.make_graph(
        nodes, "words",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", TOKENS]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", TOKENS, WIDTH]),
            helper.make_tensor_value_info("root", TensorProto.FLOAT, ["batch"]),
        ],
        [numpy_helper.from_array(TABLE, "table")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def things(path: Path) -> Path:
    """Write a model whose output has no batch axis: the places of what is above zero, as a detector has them."""
    nodes = [helper.make_node("NonZero", ["x"], ["places"])]
    graph = helper.make_graph(
        nodes, "things", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("places", TensorProto.INT64, [2, "found"])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def artifact(folder: Path, save: Callable[[Path], Path] = words, batch_size: int = 4) -> Path:
    """Write ``folder``: a signed artifact that was measured with batches of this size, on one thread."""

    def fill(into: Path) -> Content:
        save(into / "model.onnx")
        reports.write(report(final={"batch_size": batch_size}), into / "report.json")
        return Content(
            name=folder.name, model=ModelEntry.of(open_onnx(into / "model.onnx"), into), runtime="onnxruntime",
            options=OnnxRuntimeOptions(threads=1).model_dump(), verdict="pass",
            files={"model.onnx": Role.MODEL, "report.json": Role.REPORT},
        )  # fmt: skip

    private = keys.user_key().private
    layout.write(folder, fill, seal=lambda into: sign(into, KeySigner(private)))
    return folder


def rows(count: int, poisoned: Collection[int] = (), negative: Collection[int] = ()) -> dict[str, np.ndarray]:
    """Return so many rows; the poisoned ones look up a word that is not in the table."""
    ids = np.random.default_rng(count).integers(0, WORDS, (count, TOKENS))
    x = np.arange(count, dtype=np.float32)
    ids[list(poisoned)], x[list(negative)] = WORDS + 7, -1.0
    return {"ids": ids, "x": x}


class DyingShards(ShardWorker):
    """A worker that is killed where its rows hold a deadly one."""

    def _noted(self, rows: Sequence[int]) -> Answers | Fault:
        deadly = {int(row) for row in os.environ.get(DEADLY, "").split(",") if row}
        self._flight.at(rows)
        if deadly & set(rows):
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._noted(rows)


class InlineCrew:
    """Computes shards in this process, the last first."""

    workers = 1

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def compute(self, work: ShardWork, spans: Sequence[Span], folder: Path) -> Iterator[Outcome]:
        folder.mkdir()
        worker = ShardWorker(work, folder / "flight")
        for span in reversed(spans):
            yield worker.shard(span, {})
