"""Which outputs are taken for scores of classes: a list of what models are really like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T

from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Pass
from mlopt.recipe.generate import recipe_for_model
from mlopt.recipe.load import parse
from mlopt.recipe.scores import scores_of

IMAGE, IDS, ROW = ("image", T.FLOAT, ("n", 3, 64, 64)), ("input_ids", T.INT64, ("n", "t")), ("x", T.FLOAT, ("n", 30))
Value = tuple[str, int, tuple[Any, ...]]


def model(path: Path, given: Value, *outputs: tuple[str, tuple[Any, ...], str] | tuple[str, tuple[Any, ...], str, int]):
    """Save a graph that nobody runs: each output is (name, shape, operators from the last to the first, dtype)."""
    nodes, values = [], []
    for number, (name, shape, ops, *dtype) in enumerate(outputs):
        values.append(onnx.helper.make_tensor_value_info(name, dtype[0] if dtype else T.FLOAT, shape))
        tensors = [name, *(f"{number}_{place}" for place in range(len(ops.split()) - 1)), given[0]]
        for op, made, read in zip(ops.split(), tensors, tensors[1:], strict=False):
            nodes.append(onnx.helper.make_node(op, [read], [made]))
    graph = onnx.helper.make_graph(nodes, "g", [onnx.helper.make_tensor_value_info(*given)], values)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), path)
    return open_onnx(path)


@pytest.mark.parametrize(
    ("given", "outputs", "found"),
    [
        (IMAGE, [("output", ("n", 10), "Softmax")], "agreement"),
        (IMAGE, [("logits", ("n", 1000), "Gemm")], "agreement"),
        (IMAGE, [("class_scores", (1, 1000, 1, 1), "Conv")], "agreement"),
        (IMAGE, [("output", ("n", 2), "Reshape Softmax")], "agreement"),
        (IMAGE, [("output", ("n", 40), "Sigmoid")], "agreement"),
        (ROW, [("output", ("n", 1), "Sigmoid")], "agreement"),
        (ROW, [("logits", ("n", 1), "Gemm")], "agreement"),
        (ROW, [("prob", ("n",), "Squeeze Sigmoid")], "agreement"),
        (IMAGE, [("softmax_0", ("n", "t", 6625), "Softmax")], "sequence_agreement"),  # a recognizer of text
        (IMAGE, [("out", ("n", 40, 97), "Transpose LogSoftmax")], "sequence_agreement"),
        (IMAGE, [("out", ("n", 97, "t"), "Softmax")], "sequence_agreement"),
        (IDS, [("logits", ("n", "t", 9), "MatMul")], "agreement"),  # named entities
        (IDS, [("logits", ("n", "t", 32000), "MatMul"), ("present.0.key", ("n", 4, "t", 64), "Concat")], "agreement"),
        (IDS, [("start_logits", ("n", "t"), "Squeeze"), ("end_logits", ("n", "t"), "Squeeze")], "agreement"),
        (IMAGE, [("out", ("n", 21, 64, 64), "Softmax")], "agreement"),  # a segmentation
        (IMAGE, [("logits", ("n", 21, "h", "w"), "Resize")], "agreement"),
        (IMAGE, [("segmentation", ("n", 64, 64), "ArgMax", T.INT64)], "agreement"),
        (IMAGE, [("mask", ("n", 1, 64, 64), "Sigmoid")], "agreement"),
        (ROW, [("label", ("n",), "Cast", T.INT64), ("probabilities", ("n", 3), "Normalizer")], "agreement"),
        (ROW, [("output_label", ("n",), "LinearClassifier", T.STRING)], "agreement"),
        # none of these
        (IMAGE, [("embedding", ("n", 384), "Gemm")], None),
        (IMAGE, [("output", ("n", 384), "Gemm")], None),
        (IMAGE, [("features", ("n", 2048), "Flatten Relu")], None),
        (IDS, [("last_hidden_state", ("n", "t", 768), "Add"), ("pooler_output", ("n", 768), "Tanh")], None),
        (IDS, [("class_embeds", ("n", 512), "Gemm")], None),
        (IMAGE, [("attention_probs", ("n", 8, 50, 50), "Softmax")], None),
        (IMAGE, [("boxes", ("n", 100, 4), "Gemm"), ("scores", ("n", 100, 80), "Sigmoid")], None),
        (IMAGE, [("output0", ("n", 84, 8400), "Concat")], None),
        (IMAGE, [("decoded", ("n", 3, 64, 64), "Sigmoid")], None),  # an autoencoder
        (ROW, [("decoded", ("n", 30), "Sigmoid")], None),
        (IMAGE, [("depth", ("n", 1, 64, 64), "Relu")], None),
        (ROW, [("price", ("n", 1), "Gemm")], None),
        (ROW, [("score", ("n", 1), "Gemm")], None),
        (ROW, [("prob", ("n", "classes"), "Gemm")], None),
        (ROW, [("index", ("n", 5), "TopK", T.INT64)], None),
    ],
)
def test_what_counts_as_scores(given: Value, outputs: list[Any], found: str | None, tmp_path: Path) -> None:
    made = model(tmp_path / "m.onnx", given, *outputs)
    scores = scores_of(made)
    assert (scores and ("sequence_agreement" if scores.sequence else "agreement")) == found
    text = recipe_for_model(made, tmp_path / "m.yaml", None)
    assert f"{{name: {found or 'fidelity'}" in text or f"name: {found}\n" in text
    assert ("{metric: accuracy.value, min: 0.95, on_inconclusive: pass}" in text) is (found is not None)


def test_all_heads_are_judged(tmp_path: Path, passes: dict[str, Pass[Any]]) -> None:
    outputs = [("embedding", ("n", 9), "Relu"), ("color_logits", ("n", 9), "Relu"), ("size_logits", ("n", 4), "Relu")]
    made = model(tmp_path / "m.onnx", ROW, *outputs)
    recipe = parse(recipe_for_model(made, tmp_path / "m.yaml", None), tmp_path / "m.yaml", passes=passes).recipe
    assert (recipe.metric.name, recipe.metric.output) == ("agreement", ("color_logits", "size_logits"))


@pytest.mark.parametrize(
    ("dtype", "labels", "metric"),
    [
        (T.INT64, np.array([3, 5, 9, 3]), "accuracy"),
        (T.STRING, np.array(["a", "b", "c", "a"]), "accuracy"),
        (T.STRING, np.array([0, 1, 2, 0]), "agreement"),
        (T.INT64, np.array(["a", "b", "c", "a"]), "agreement"),
    ],
)
def test_labels_of_the_models_own_kind_are_used(dtype: int, labels: np.ndarray, metric: str, tmp_path: Path) -> None:
    made = model(tmp_path / "m.onnx", ROW, ("label", ("n",), "LinearClassifier", dtype))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((4, 30), np.float32), labels=labels)
    assert f"name: {metric}" in recipe_for_model(made, tmp_path / "m.yaml", tmp_path / "x.npz")
