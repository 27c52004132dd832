"""Architectures that people deploy, through export, simplify and fuse at the first try: right, wrong, or refused.

make zoo                               # all that are not stored yet, two at a time; about 25 minutes on 2 cores
python benchmarks/zoo.py NAME...       # these again
python benchmarks/zoo.py --page        # only write docs/zoo.md from what is stored

Each architecture has a process and a time limit of its own, forked from one that has imported everything. In it runs
what ``mlopt optimize`` runs in its workers, and nothing else: the module is built and written, then each pass with the
checks after it. There is no recipe, and nothing is timed. The last model is then run in ONNX Runtime with all
optimizations, on inputs that mlopt never saw, at another batch and other sizes, and held against the module itself,
called eagerly. Right is a relative error of at most 1e-3: the largest difference over the largest deviation of a sample
from the mean of the samples, of the worst output.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from zoo_models import ZOO, arrays, build, call, import_packages

from mlopt.core.errors import MloptError
from mlopt.core.hardware import detect
from mlopt.core.target import Objective, Target
from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Samples
from mlopt.data.dataset import store as store_samples
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.source import materialize
from mlopt.passes.base import Context
from mlopt.passes.table import table
from mlopt.results.environment import environment
from mlopt.run.step import execute
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import deploy

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks/results/zoo.json"
PAGE = ROOT / "docs/zoo.md"
LIMIT_SECONDS = 600
AT_A_TIME = 2
TOLERANCE = 1e-3
WANTED = 50
HEAD = """\
# The zoo: which architectures come out right

Made by `make zoo` (`benchmarks/zoo.py`): architectures that people deploy, small, with random weights, through
`passes: [export, simplify, fuse]` at the first try. *Right*: on inputs that mlopt never saw, at another batch, and at
other sizes where dimensions are dynamic, the result is the eager module's to a relative error of at most 1e-3: the
largest difference over the largest deviation of a sample from the mean of the samples, of the worst output. The
exporter is the one that `export` chose.

Read with care: weights are random, but scaled, and batch normalizations have statistics of inputs, so that outputs
depend on inputs, and the eager module in float32 is within 1e-4 of itself in float64; with worse weights it is off by
itself. Sizes are declared as people deploy the models: pictures are free in height and width for most convolutional
networks, and fixed for most others. MobileViT is one of these: declared free, it is refused, since it resizes pictures
only at some sizes, which is a branch on sizes.
"""
CODE = """\
import sys
sys.path.insert(0, {folder!r})
import zoo_models
def build():
    return zoo_models.build({name!r})
"""


@dataclass
class Try:
    """An architecture that is being tried."""

    name: str
    process: BaseProcess
    folder: tempfile.TemporaryDirectory[str]
    since: float

    @property
    def over(self) -> bool:
        """Whether it is done, or has taken too long."""
        return not self.process.is_alive() or time.monotonic() - self.since > LIMIT_SECONDS

    def result(self) -> dict[str, Any]:
        """Return what came of it, and end what is left of it."""
        told = Path(self.folder.name) / "result.json"
        self.process.kill()
        self.process.join()
        seconds = round(time.monotonic() - self.since)
        found = json.loads(told.read_text(encoding="utf-8")) if told.exists() else None
        self.folder.cleanup()
        lost = {"outcome": "failed", "reason": f"no result after {seconds} s"}
        return {"origin": ZOO[self.name].origin, **(found or lost), "seconds": seconds}


def main(arguments: list[str]) -> int:
    """Try what is asked for, store each result, and write the page; 1 if too few are right, or one is wrong."""
    results: dict[str, Any] = {}
    if RESULT.exists():
        results = json.loads(RESULT.read_text(encoding="utf-8"))["architectures"]
    if arguments != ["--page"]:
        for name, result in tried(arguments or [name for name in ZOO if name not in results]):
            results = {known: {**results, name: result}[known] for known in ZOO if known in results or known == name}
            text = {"environment": environment(detect()).model_dump(mode="json"), "architectures": results}
            RESULT.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
            print(f"{name:20} {result['outcome']:8} {result.get('reason', '') or result['relative_error']}", flush=True)
    PAGE.write_text("\n".join((HEAD, *lines(results))) + "\n", encoding="utf-8")
    count = Counter(result["outcome"] for result in results.values())
    return 0 if count["right"] >= WANTED and not count["wrong"] else 1


def tried(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each architecture's result as it is there; a few run at a time."""
    import_all()
    forks = multiprocessing.get_context("fork")
    waiting, running = list(names), list[Try]()
    while waiting or running:
        while waiting and len(running) < AT_A_TIME:
            name, folder = waiting.pop(0), tempfile.TemporaryDirectory(prefix="mlopt-zoo-")
            process = forks.Process(target=tell, args=(name, Path(folder.name)))
            process.start()
            running.append(Try(name, process, folder, time.monotonic()))
        for attempt in [attempt for attempt in running if attempt.over]:
            running.remove(attempt)
            yield attempt.name, attempt.result()
        time.sleep(0.2)


def import_all() -> None:
    """Do once what takes seconds in every process: import, and make the exporter read its table of operators."""
    import_packages()
    torch.set_num_threads(1)
    linear, x = torch.nn.Linear(2, 2).eval(), torch.ones(2, 2)
    torch.onnx.export(linear, (x,), dynamo=True, verbose=False)


def tell(name: str, folder: Path) -> None:
    """Try one architecture and write what came of it; what is printed goes to a log."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        found = one(name, folder)
    except MloptError as refusal:
        found = {"outcome": "refused", "reason": " ".join(str(refusal).split())[:600]}
    except Exception:  # noqa: BLE001 - it is told as a failure
        found = {"outcome": "failed", "reason": traceback.format_exc().strip().splitlines()[-1][:600]}
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")


def one(name: str, folder: Path) -> dict[str, Any]:
    """Take one architecture through the passes, and judge what came out; raises ``MloptError`` where it is refused."""
    code, source = folder / "model.py", folder / "source"
    code.write_text(CODE.format(folder=str(ROOT / "benchmarks"), name=name), encoding="utf-8")
    source.mkdir()
    specs = tuple(TensorSpec(key, spec.dtype, spec.shape) for key, spec in ZOO[name].inputs.items())
    model: Model = materialize(CodeReference(code, "build"), None, specs, (), source)
    samples = store_samples(Samples(arrays(name, second=False, seed=1, count=8)), folder / "samples", "samples")
    found: dict[str, Any] = {}
    for step in ("export", "simplify", "fuse"):
        out = folder / step
        out.mkdir()
        context = Context(
            out=out, target=Target(threads=1), objective=Objective.LATENCY, hardware=detect(), samples=samples,
            inputs=specs,
        )  # fmt: skip
        common = RuntimeOptions(threads=1)
        done = execute(table()[step], deploy(model, common), table()[step].config(), context, common)
        if "refused" in done:
            return {**found, "outcome": "refused", "reason": f"{step}: {done['refused']}"}
        model = open_onnx(out / done["path"])
        found |= {"exporter": done["notes"]["exporter"]} if step == "export" else {}
    error = relative_error(name, model.path)
    return {**found, "outcome": "right" if error <= TOLERANCE else "wrong", "relative_error": error}


def relative_error(name: str, path: Path) -> float:
    """Return the largest error over both sizes, on inputs that were not among the samples."""
    module, worst = build(name), 0.0
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for second in (False, True):
        feeds = arrays(name, second, seed=2 + second, count=3)
        for reference, output in zip(call(module, feeds), session.run(None, feeds), strict=True):
            array = reference.numpy()
            if array.shape != output.shape:
                return float("inf")
            scale = float(np.abs(array - array.mean(axis=0)).max())
            worst = float(np.fmax(worst, np.abs(array - output).max() / scale)) if scale else float("inf")
    return worst


def lines(results: dict[str, Any]) -> Iterator[str]:
    """The page's summary and its table."""
    count = Counter(result["outcome"] for result in results.values())
    summary = ", ".join(f"{count[outcome]} {outcome}" for outcome in ("right", "wrong", "refused", "failed"))
    yield f"Of {len(results)}: {summary}."
    yield ""
    yield "| architecture | from | exporter | outcome | relative error |"
    yield "|---|---|---|---|---|"
    for name, result in results.items():
        error = f"{result['relative_error']:.0e}" if "relative_error" in result else ""
        row = (name, result.get("origin", ""), result.get("exporter", ""), result["outcome"], error)
        yield f"| {' | '.join(row)} |"
    for name, result in results.items():
        if "reason" in result:
            yield f"\n{name}: {result['reason']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
