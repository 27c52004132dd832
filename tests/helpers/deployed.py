"""Deployments to look at, and signed artifacts of tiny models to deploy; engines as processes on the loopback."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import predicted
from gate_evidence import report
from onnx import TensorProto, helper
from report_example import example_report

from mlopt import report as reports
from mlopt.artifact import layout
from mlopt.artifact.layout import Content, Manifest, ModelEntry, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.verify import Verified
from mlopt.deploy import pages, vendored
from mlopt.deploy.contents import ServedContent, joinable
from mlopt.deploy.derived import Goal, derive
from mlopt.deploy.engine import ServedTogether, ServingEngine
from mlopt.deploy.ensemble import link
from mlopt.deploy.pod import pod_of
from mlopt.deploy.rendering import render
from mlopt.deploy.run import DeployRequest, deploy
from mlopt.deploy.table import engine_named
from mlopt.formats.model import ONNX, TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.openvino_options import OpenVinoOptions

ROOT = Path(__file__).parents[2]
IMAGE = TensorSpec("image", "float32", ("batch", 1, 28, 28))
LOGITS = TensorSpec("logits", "float32", ("batch", 10))
CLASSES = TensorSpec("class", "int64", ("batch",))
MODULES = ("model_runtime", "batching", "open_inference", "ensemble")


def content(
    name: str = "mnist_cnn", inputs: Sequence[TensorSpec] = (IMAGE,), outputs: Sequence[TensorSpec] = (LOGITS,),
    goal: Goal | None = None, **manifest: Any,
) -> ServedContent:  # fmt: skip
    """Return a model that nobody has signed, with the figures of the example report."""
    described = Manifest(**{
        "name": name, "runtime": "onnxruntime", "options": OnnxRuntimeOptions(threads=2).model_dump(),
        "model": ModelEntry(
            file="model.onnx", kind=ONNX, digest="c" * 64, inputs=tuple(inputs), outputs=tuple(outputs)
        ),
        "verdict": "pass", "files": {"model.onnx": Role.MODEL, "report.json": Role.REPORT}, "version": 3,
        "created": "2026-11-23T14:20:11Z", "mlopt": "0.2.0", "runtime_packages": {"onnxruntime": "1.32.0"}, **manifest,
    })  # fmt: skip
    verified = Verified(
        Path("artifact"), described, "ab" * 32, "d" * 64, {"model.onnx": "f" * 64, "report.json": "0" * 64}
    )
    options = OnnxRuntimeOptions.model_validate(described.options)
    found = example_report()
    settings = derive(
        found, threads=options.threads, batches=joinable(described, options), goal=goal or Goal(100.0, 4000.0)
    )
    return ServedContent(name, verified, found, options, settings)


def deployment(engine: ServingEngine, *contents: ServedContent) -> ServedTogether:
    """Return them as they are served together."""
    several = contents or (content(),)
    joined = link(several)[0] if engine.links else None
    pod = pod_of([each.settings for each in several], engine.base_mib, in_turn=joined is not None)
    return ServedTogether("mnist-cnn", several, pod, joined)


def pair() -> tuple[ServedContent, ServedContent]:
    """Return two of which the first feeds the second."""
    return content("features", outputs=(TensorSpec("h", "float32", ("batch", 10)),)), content(
        "head", inputs=(TensorSpec("h", "float32", ("batch", 10)),), outputs=(CLASSES,)
    )


def rendered(engine: ServingEngine, found: ServedTogether) -> dict[str, str]:
    """Return the text of every file that is written but for the models', by its name."""
    told = {"engine": engine, "deployment": found, "pod": found.pod}
    return {
        page.path: vendored.open_inference()
        if page.template == vendored.VENDORED
        else render(page.template, {**told, **page.told})
        for page in (*pages.common(engine, found), *engine.pages(found))
    }


def artifact(
    folder: Path, save: Callable[[Path], Path] = predicted.words, *, batch_size: int = 4, threads: int = 1,
    final: Mapping[str, Any] | None = None, openvino: OpenVinoOptions | None = None,
) -> Path:  # fmt: skip
    """Write ``folder``: a signed artifact, measured as the evidence of the gates says."""

    def fill(into: Path) -> Content:
        save(into / "model.onnx")
        found = report(final={"batch_size": batch_size, "peak_rss_bytes": 60_000_000, **(final or {})})
        reports.write(found, into / "report.json")
        return Content(
            name=folder.name, model=ModelEntry.of(open_onnx(into / "model.onnx"), into),
            runtime="openvino" if openvino else "onnxruntime",
            options=(openvino or OnnxRuntimeOptions(threads=threads)).model_dump(),
            verdict="pass",
            files={"model.onnx": Role.MODEL, "report.json": Role.REPORT},
        )  # fmt: skip

    private = keys.user_key().private
    layout.write(folder, fill, seal=lambda into: sign(into, KeySigner(private)))
    return folder


def written(out: Path, engine: str, *artifacts: Path, slo_ms: float | None = None) -> dict[str, Any]:
    """Deploy artifacts, and return what was told of it."""
    return deploy(DeployRequest(tuple(map(str, artifacts)), engine_named(engine), out, goal=Goal(slo_ms, None)))


def doubled(path: Path) -> Path:
    """Write a model: ``h`` is twice ``x``."""
    return _save(path, [helper.make_node("Add", ["x", "x"], ["h"])], "x", "h")


def shifted(path: Path) -> Path:
    """Write a model: ``y`` is ``h`` times itself."""
    return _save(path, [helper.make_node("Mul", ["h", "h"], ["y"])], "h", "y")


def slow(path: Path, iterations: int = 40_000) -> Path:
    """Write a model that takes a tenth of a second or more for any batch: ``y`` is ``x``."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    body = helper.make_graph(
        [helper.make_node("Mul", ["before", "one"], ["after"]), helper.make_node("Identity", ["go_in"], ["go_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, ["batch", 4]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, ["batch", 4]),
        ],
        [one],
    )  # fmt: skip
    count = helper.make_tensor("count", TensorProto.INT64, [], [iterations])
    return _save(path, [helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)], "x", "y", [count])


def _save(path: Path, nodes: list[Any], taken: str, given: str, constants: Sequence[Any] = ()) -> Path:
    graph = helper.make_graph(
        nodes, path.stem, [helper.make_tensor_value_info(taken, TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["batch", 4])], list(constants),
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@contextmanager
def modules(folder: Path, *names: str) -> Iterator[list[ModuleType]]:
    """Import modules that were written, and forget them afterwards."""
    sys.path.insert(0, str(folder))
    try:
        yield [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))
        for name in MODULES:
            sys.modules.pop(name, None)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str | Path], folder: Path, port: int, ready: Sequence[str], *, seconds: float = 60, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it answers on all paths; its whole process group is ended afterwards."""
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            env=environment(**env),
        )  # fmt: skip
        try:
            _wait(process, port, ready, seconds, log)
            yield process
        finally:
            _end(process)


def environment(**env: str) -> dict[str, str]:
    """Return this one without mlopt's own paths: what is written needs none."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, **env}


def _wait(process: subprocess.Popen[bytes], port: int, paths: Sequence[str], seconds: float, log: Path) -> None:
    until = time.monotonic() + seconds
    while any(status(port, path) != 200 for path in paths):
        assert process.poll() is None, f"it ended with {process.returncode}\n{log.read_text(errors='replace')[-4000:]}"
        assert time.monotonic() < until, f"not ready\n{log.read_text(errors='replace')[-4000:]}"
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group that this test started: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def status(port: int, path: str) -> int | None:
    """Return the code of a GET, None if nobody listens."""
    try:
        with _OPENER.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def ask(
    port: int, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any, Mapping[str, str]]:
    """Return code, JSON (or text) and headers, lower-cased, of a POST with a JSON body; of a GET without one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with _OPENER.open(request, timeout=60) as answer:
            code, text, found = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        code, text, found = error.code, error.read(), error.headers
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text.decode(errors="replace")
    return code, parsed, {name.lower(): value for name, value in found.items()}


def infer_body(feeds: Mapping[str, np.ndarray], **more: Any) -> dict[str, Any]:
    """Return a request of the protocol in JSON."""
    types = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
    return {
        "inputs": [
            {"name": name, "shape": list(each.shape), "datatype": types[each.dtype.name], "data": each.ravel().tolist()}
            for name, each in feeds.items()
        ],
        **more,
    }  # fmt: skip


def outputs_of(answer: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the outputs of an answer of the protocol in JSON, text apart."""
    return {
        one["name"]: np.array(one["data"]).reshape(one["shape"])
        for one in answer["outputs"]
        if one["datatype"] != "BYTES"
    }


def together(count: int, ask_one: Callable[[int], Any]) -> list[Any]:
    """Ask so many at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask_one, range(count)))


def truncate(file: Path) -> None:
    """Take the last bytes of a file away."""
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data[: len(data) - 7])
