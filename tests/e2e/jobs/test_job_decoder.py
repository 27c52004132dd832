"""Job 6: a decoder that takes what it computed before, of length 0 at first and 5 later."""

from __future__ import annotations

import json

import pytest
from user_jobs import Job

DECODER = """
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

random, width, vocabulary = np.random.default_rng(0), 32, 50
nodes = [helper.make_node("Gather", ["table", "tokens"], ["x"], "embed", axis=0)]
for name in "qkv":
    nodes.append(helper.make_node("MatMul", ["x", f"w{name}"], [name], f"project_{name}"))
nodes += [
    helper.make_node("Concat", ["past_key", "k"], ["present_key"], "keys", axis=1),
    helper.make_node("Concat", ["past_value", "v"], ["present_value"], "values", axis=1),
    helper.make_node("Transpose", ["present_key"], ["kt"], perm=[0, 2, 1]),
    helper.make_node("MatMul", ["q", "kt"], ["scores"], "scores"),
    helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
    helper.make_node("Softmax", ["scaled"], ["weights"], axis=-1),
    helper.make_node("MatMul", ["weights", "present_value"], ["mixed"], "mix"),
    helper.make_node("Add", ["x", "mixed"], ["summed"]),
    helper.make_node("MatMul", ["summed", "head"], ["logits"], "head"),
]
held = {"table": random.standard_normal((vocabulary, width)), "scale": np.float32(width**-0.5),
        "head": random.standard_normal((width, vocabulary)) * 0.2}
held |= {f"w{name}": random.standard_normal((width, width)) * width**-0.5 for name in "qkv"}
past = ["batch", "past", width]
graph = helper.make_graph(
    nodes, "decoder",
    [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", 1]),
     *(helper.make_tensor_value_info(name, TensorProto.FLOAT, past) for name in ("past_key", "past_value"))],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, vocabulary]),
     *(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "total", width])
       for name in ("present_key", "present_value"))],
    [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in held.items()])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "decoder.onnx")
for length in (0, 5):
    key, value = random.standard_normal((2, 40, length, width)).astype(np.float32)
    np.savez(f"past{length}.npz", tokens=random.integers(0, vocabulary, (40, 1)), past_key=key, past_value=value)
"""
ANSWER = """
import sys
import mlopt, numpy as np
from onnx.reference import ReferenceEvaluator
wanted = ReferenceEvaluator("decoder.onnx")
with mlopt.load(sys.argv[1]) as session:
    for length in (0, 5):
        feed = {name: array[:1] for name, array in np.load(f"past{length}.npz").items()}
        found, expected = session.run(feed), dict(zip(wanted.output_names, wanted.run(None, feed)))
        assert found["present_key"].shape == (1, length + 1, 32)
        error = np.linalg.norm(found["logits"] - expected["logits"]) / np.linalg.norm(expected["logits"])
        assert error < 0.1, (length, error)
"""


@pytest.mark.parametrize("length", [0, 5])
def test_a_decoder_keeps_its_state_at_any_length(job: Job, length: int) -> None:
    job.writes(decoder_py=DECODER, answer_py=ANSWER)
    job.run("decoder.py")
    told = job.mlopt("optimize", "decoder.onnx", "--data", f"past{length}.npz", "-o", "out", "--json", code=None)
    assert told.returncode in {0, 1, 3}, told.stderr
    assert json.loads(told.stdout)["final"]["name"]
    job.run("answer.py", "out")
