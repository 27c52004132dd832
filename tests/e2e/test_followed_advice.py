"""A gate that failed says what would have met it; who follows that has a run in which it passes, and both on record."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import AT_ANY_SPEED, BRIEFLY, write_classifier

from mlopt import optimize
from mlopt.cli.app import run
from mlopt.core.cache import default_root
from mlopt.report.advice import sentences
from mlopt.run.history import of_artifact

RECIPE = """\
apiVersion: mlopt/v1
name: layers
model: {source: ./layers.onnx}
data:
  evaluation: {source: ./x.npz}
metric: {name: agreement}
target: {runtime: onnxruntime, threads: 1}
passes:
  - quantize: {mode: weight_only}
gates:
  - {metric: speedup.median, min: 0.001}
  - {metric: fidelity.cosine, min: 0.9999999}
"""


def layers(path: Path) -> None:
    """Write two matrix products with a Relu between them, from [n, 64] to [n, 10]."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((random.normal(size=shape) / 8).astype(np.float32), name)
        for name, shape in (("v", (64, 128)), ("w", (128, 10)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]  # fmt: skip
    ends = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", w]) for n, w in (("x", 64), ("y", 10)))
    graph = helper.make_graph(nodes, "g", *([each] for each in ends), weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.mark.process
@pytest.mark.heavy
def test_what_is_advised_can_be_done_and_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layers(tmp_path / "layers.onnx")
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).normal(size=(40, 64)).astype(np.float32))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE)
    first = optimize(recipe, output="out", overrides=BRIEFLY, sign=False)
    gate = next(one for one in first.report.gates if one.metric == "fidelity.cosine")
    assert gate.verdict == "fail"
    assert gate.place is not None
    assert (gate.place.file, gate.place.line) == ("r.yaml", 1 + RECIPE.splitlines().index(
        "  - {metric: fidelity.cosine, min: 0.9999999}"))  # fmt: skip
    told = " ".join(sentences(first.report)[first.report.gates.index(gate)])
    assert "quantize changed the outputs most" in told
    assert "The source as it is (onnx_fp32) would meet it" in told
    (command,) = re.findall(r"add `(.*?)` to the command", told)
    words = shlex.split(command)
    assert words[::2] == ["--set"]
    second = optimize(recipe, output="out", overrides=(*BRIEFLY, *words[1::2]), sign=False)
    assert second.exit_code == 0
    assert any(line.startswith("compared with version 1") for line in second.messages)
    found = of_artifact(default_root(), tmp_path / "out")
    assert [(one.version, one.verdict) for one in found.records] == [(2, "pass"), (1, "fail")]


def missing(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the commands for what is missing before ``net`` is deployed, by what it is."""
    capsys.readouterr()
    assert run(["doctor", "--deployment", "net", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    return {check["name"]: check["fix"] for check in checks if check["group"] == "missing or to mend"}


@pytest.mark.process
@pytest.mark.heavy
def test_what_is_missing_before_a_deployment_is_there_once_its_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_classifier(tmp_path)
    brief = [word for override in (*BRIEFLY, AT_ANY_SPEED) for word in ("--set", override)]
    assert run(["optimize", "classifier.onnx", "--data", "x.npz", "--runtime", "onnxruntime", "-o", "net", *brief]) == 0
    before = missing(capsys)
    assert {"samples", "load test", "ledger", "signer"} <= set(before)
    assert run(shlex.split(before["batch sweep"])[1:]) == 0
    assert "batch sweep" not in missing(capsys)
    assert run(["deploy", "net", "--to", "fastapi", "-o", "out", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["settings"]["largest_batch"]["why"].startswith("batch sweep")
