"""Targets: what is read without a signature. Reports, gates, recipes, models and data."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from collections.abc import Sequence
from functools import cache as once
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fuzz_base import ROOT, Target, golden, replacing, reports
from fuzz_mutations import mutate_bytes, mutate_json, mutate_json_lines, mutate_protobuf, mutate_yaml, mutate_zip

from mlopt import report
from mlopt.artifact import inspection
from mlopt.core import cache, foreign_text, usercode
from mlopt.core.errors import MloptError
from mlopt.data import dataset, reading
from mlopt.data.source import TextOptions
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx import file as onnx_file
from mlopt.gate.judge import judge, needs_more
from mlopt.gate.limits import BASELINE, Gate
from mlopt.gate.vocabulary import METRICS
from mlopt.passes.table import table
from mlopt.recipe import gates_file
from mlopt.recipe.load import load, parse
from mlopt.recipe.lock import lock
from mlopt.recipe.origin import Origin
from mlopt.report import difference, html, markdown
from mlopt.report.ci import action_benchmark, badge, bencher, github, junit, openmetrics
from mlopt.results.report import Report

# --- reports and gates


def _prepare_report(folder: Path) -> None:
    (folder / "old.json").write_bytes(golden("report/report.json"))


_GATES = b"""\
hardware: {cpu: "*", cores: 2}
gates:
  - {metric: accuracy.drop_pt, max: 0.3}
  - {metric: speedup.median, min: 1.2, vs: onnx_fp32, on_inconclusive: warn}
  - {metric: speedup.median, min: 0.97, vs: baseline, confidence: 0.95}
  - {metric: latency.p95_ms, max: 12, hardware: {isa: [avx2], gpu: none}}
  - {metric: size.ratio, max: 0.5}
"""


def _read_report(file: Path) -> None:
    """Read it, judge gates on it, compare it both ways with another, and write it in every form but pictures."""
    found, old = report.read(file), report.read(file.with_name("old.json"))
    for render in (markdown, junit, openmetrics, action_benchmark, bencher, badge):
        render.render(found).encode()
    (github.summary(found) + github.annotate(found)).encode()
    for one, other in ((found, old), (old, found), (found, found)):
        difference.compare(one, other)
        _judge(one, other)


def _judge(found: Report, old: Report) -> None:
    gates = [Gate(metric=name, max=1.0) for name in METRICS]
    gates += [Gate(metric=name, min=1.0, vs=BASELINE) for name, one in METRICS.items() if one.takes_vs]
    for wanted in gates:
        try:
            judge([wanted], found, baselines={BASELINE: old})
            needs_more([wanted], found, baselines={BASELINE: old})
        except MloptError as error:
            str(error)


def _read_pictures(file: Path) -> None:
    html.render(report.read(file), {}, "").encode()


def _read_gates(file: Path) -> None:
    gates = gates_file.load_gates(file)
    gates_file.load_baselines(gates, file.parent)
    old = report.read(file.with_name("old.json"))
    judge(gates, old, baselines={BASELINE: old})


def _sample_files() -> list[bytes]:
    blocks = {name: {"unit": "ms", "blocks": [[1.5, 1.25], [2.0, 1e-3]]} for name in ("onnx_fp32", "final")}
    return [json.dumps(blocks).encode()]


def _read_samples(file: Path) -> None:
    blocks, old = report.read_blocks(file), report.read(file.with_name("old.json"))
    report.read_samples(file)
    for name in ("latency.p50_ms", "latency.p99_ms", "speedup.median"):
        try:
            judge([Gate(metric=name, max=1.0, confidence=0.99)], old, samples=blocks)
        except MloptError as error:
            str(error)


# --- recipes

_OVERRIDES = (b"passes.quantize.optional=true", b"gates.0.min=0.5\ntarget.threads=1", b"measure={seconds: 1}")


def _recipes() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.yaml"))]


def _read_recipe(data: bytes, _: Path) -> None:
    """Read a recipe; what is accepted can be locked, and the lock file is a recipe again."""
    path = ROOT / "recipes" / "recipe.yaml"
    loaded = parse(data, path, passes=table())
    loaded.code  # noqa: B018 - a cached property
    text = lock(loaded.recipe, Origin(mlopt="0.2.0", recipe=loaded.text_digest, sources={}, packages={}))
    again = parse(text, path, passes=table())
    assert again.recipe == loaded.recipe


def _override(data: bytes, _: Path) -> None:
    """Take the lines as ``--set`` options, decoded as the system decodes arguments."""
    options = [os.fsdecode(line) for line in data.split(b"\n")]
    load(ROOT / "recipes" / "mnist_cnn.yaml", passes=table(), overrides=options)


# --- models and data


def _onnx_models() -> list[bytes]:
    import onnx
    from onnx import TensorProto, helper

    def tensor(name: str, shape: Sequence[int | str]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    weights = helper.make_tensor("w", TensorProto.FLOAT, (4, 4), np.eye(4, dtype="<f4").tobytes(), raw=True)
    outside = onnx.TensorProto(name="v", data_type=TensorProto.FLOAT, dims=(4, 4), data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", "64")):
        outside.external_data.add(key=key, value=value)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["v"], ["b"])], "branch", [], [tensor("b", (4, 4))], [outside]
    )
    condition = helper.make_tensor("c", TensorProto.BOOL, (), [True])
    nodes = [
        helper.make_node("If", ["c"], ["u"], then_branch=branch, else_branch=branch),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Gemm", ["h", "u"], ["y"], transB=1),
        helper.make_node("QLinearMatMul", ["h", "s", "z", "w", "s", "z", "s", "z"], ["q"]),
    ]
    small = helper.make_graph(nodes[1:2], "small", [tensor("x", ("batch", 4))], [tensor("h", ("batch", 4))], [weights])
    large = helper.make_graph(
        nodes[:3], "large", [tensor("x", ("batch", 4))], [tensor("y", ("batch", 4))], [weights, condition, outside]
    )
    return [helper.make_model(graph).SerializeToString() for graph in (small, large)]


def _beside(folder: Path) -> None:
    """Put beside the model what an external tensor may name: data, links, a pipe, a folder."""
    (folder / "w.bin").write_bytes(bytes(64))
    (folder / "link").symlink_to("w.bin")
    (folder / "hard").write_bytes(bytes(64))
    (folder / "x").hardlink_to(folder / "hard")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")


def _model_proto() -> Any:
    import onnx

    return onnx.ModelProto


def _arrays() -> list[bytes]:
    out = io.BytesIO()
    np.savez(out, x=np.arange(12, dtype=np.float32).reshape(4, 3), labels=np.arange(4))
    packed = io.BytesIO()
    np.savez_compressed(packed, x=np.ones((2, 3), np.float32))
    return [out.getvalue(), packed.getvalue()]


def _read_arrays(file: Path) -> None:
    found = reading.read(reading.DataSource(source=file.name), file.parent, (TensorSpec("x", "float32", ("batch", 3)),))
    dataset.store(found, file.with_name("stored"), file.name)


@once
def _tokenizer() -> bytes:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    text: str = tokenizer.to_str()
    return text.encode()


def _prepare_text(folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(_tokenizer())
    (folder / "data.jsonl").write_bytes(_lines()[0])


def _lines() -> list[bytes]:
    rows = [
        {"text": "good bad good", "label": "yes"},
        {"text": "\u00e9\U0001f600", "label": "no"},
        {"text": "", "label": "no"},
    ]
    return ["".join(f"{json.dumps(row)}\n" for row in rows).encode()]


def _read_text(file: Path) -> None:
    options = TextOptions(tokenizer="tokenizer.json", label="label", max_length=16)
    inputs = (TensorSpec("input_ids", "int64", ("batch", "tokens")),)
    found = reading.read(reading.DataSource(source="data.jsonl", text=options), file.parent, inputs)
    dataset.store(found, file.with_name("stored"), "data.jsonl")


# --- text, cached results and a recipe's Python


def _door(data: bytes, _folder: Path) -> None:
    """Whatever comes in, what goes out holds no control character and no command."""
    text = data.decode("utf-8", errors="surrogateescape")
    shown = foreign_text.inert(text)
    for line in (*shown.split("\n"), foreign_text.plain(text)):
        assert not any(unicodedata.category(each)[0] == "C" and each != "\t" for each in line)
        assert "##[" not in shown
        assert not shown.startswith("::")
    assert json.loads(foreign_text.as_json(text)) == text
    markdown.text(text)
    markdown.code(text)


def _texts() -> list[bytes]:
    return [b"::error::x\n##[x]\x1b[31m", "\u202e\u2028 \U000e0041 größe".encode(), b"[/b] @me #12 http://x |`<x>"]


_CACHED = cache.Key("passes", "x: 1 simplify", {"opset": 20})


def _cached(data: bytes, folder: Path) -> None:
    """A damaged entry is made again, and never an error."""
    store = cache.Store(folder / "cache")
    path = store.fetch(_CACHED, _fill)[0].path
    (path / "entry.json").write_bytes(data)
    entry, _ = cache.Store(store.root).fetch(_CACHED, _fill)
    assert (entry.out / entry.result["path"]).read_bytes() == b"model"


def _fill(out: Path) -> dict[str, Any]:
    (out / "model.onnx").write_bytes(b"model")
    return {"path": "model.onnx"}


def _entries() -> list[bytes]:
    with TemporaryDirectory() as folder:
        return [(cache.Store(Path(folder)).fetch(_CACHED, _fill)[0].path / "entry.json").read_bytes()]


_PYTHON = b"import json\nfrom . import beside\ndef build():\n    return 1\n"


def _digest_python(file: Path) -> None:
    usercode.CodeReference(file, "build").digest  # noqa: B018 - the files that it names are found by parsing it


INPUTS = (
    Target("report", replacing("report.json", _read_report), reports, mutate_json, _prepare_report),
    Target("pictures", replacing("report.json", _read_pictures), reports, mutate_json, examples=5),
    Target("gates", replacing("gates.yaml", _read_gates), lambda: [_GATES], mutate_yaml, _prepare_report),
    Target("samples", replacing("samples.json", _read_samples), _sample_files, mutate_json, _prepare_report),
    Target("recipe", _read_recipe, _recipes, mutate_yaml),
    Target("override", _override, lambda: _OVERRIDES, mutate_bytes),
    Target("onnx", replacing("model.onnx", onnx_file.open_onnx), _onnx_models, mutate_protobuf(_model_proto), _beside),
    Target(
        "inspect",
        replacing("model.onnx", inspection.inspect_model),
        _onnx_models,
        mutate_protobuf(_model_proto),
        _beside,
    ),
    Target("npz", replacing("data.npz", _read_arrays), _arrays, mutate_zip),
    Target("text", _door, _texts, mutate_bytes),
    Target("cache", _cached, _entries, mutate_json),
    Target(
        "python",
        replacing("build.py", _digest_python),
        lambda: [b"import json\ndef build():\n    return 1\n"],
        mutate_bytes,
    ),
    Target("jsonl", replacing("data.jsonl", _read_text), _lines, mutate_json_lines, _prepare_text),
    Target("tokenizer", replacing("tokenizer.json", _read_text), lambda: [_tokenizer()], mutate_json, _prepare_text),
)
