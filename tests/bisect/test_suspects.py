"""Whom a pass hurt most: the order of the suspects, and who is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from planted_fault import planted
from quantization_models import FLOAT, write

from mlopt.bisect.suspects import Suspect, suspects, untouched
from mlopt.formats.onnx.file import open_onnx
from mlopt.tensors import TensorDifference


def difference(tensor: str, sqnr_db: float | None, reads: tuple[str, ...], **more: Any) -> TensorDifference:
    parts: Mapping[str, Any] = {
        "node": "", "op_type": "", "other": tensor, "channel_db": sqnr_db, "cosine": 1.0, "max_abs": 0.0,
        "max_rel": 0.0, "broken": 0, "is_output": False,
    }  # fmt: skip
    return TensorDifference(tensor=tensor, sqnr_db=sqnr_db, reads=reads, **(parts | more))


def test_who_adds_most_noise_is_suspected_first_and_its_neighbours_after_it(tmp_path: Path) -> None:
    model = open_onnx(planted(tmp_path / "net.onnx"))
    found = [
        difference("r1", 35.0, ()), difference("c2", 30.0, ("r1",), channel_db=1.0), difference("r3", 0.5, ("c2",)),
        difference("logits", 0.4, ("r3",)),
    ]  # fmt: skip
    ranked = suspects(model, found, ("conv1",))
    assert [each.node for each in ranked[:3]] == ["conv2", "conv3", "relu1"]
    assert "conv1" not in [each.node for each in ranked]
    assert ranked[1] == Suspect("conv3", "Conv", "r3", 0.5, 0.5)  # its own output was fused away
    lost = [replace(found[1], broken=3), *found[2:]]
    assert suspects(model, [found[0], *lost], ())[0].node == "conv2"
    assert suspects(model, [difference("c2", None, ())], ()) == []


def test_what_a_pass_left_as_it_was_is_not_suspected(tmp_path: Path) -> None:
    """Of a weight-only pass the products change; a Relu between them reads and writes what it did."""
    node = onnx.helper.make_node
    nodes = [node("MatMul", ["x", "w"], ["a"], name="one"), node("Relu", ["a"], ["b"], name="between"),
             node("MatMul", ["b", "v"], ["y"], name="two")]  # fmt: skip
    ports = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    weights = {name: np.eye(4, dtype=np.float32) for name in "wv"}
    before = open_onnx(write(tmp_path / "a.onnx", nodes, weights, *ports))
    nodes[0].input[1] = "w_dequantized"
    weights["w_dequantized"] = weights.pop("w")
    after = open_onnx(write(tmp_path / "b.onnx", nodes, weights, *ports))
    assert untouched(before, after) == {"between", "two"}
    weights["v"] = 2 * weights["v"]
    assert untouched(before, open_onnx(write(tmp_path / "c.onnx", nodes, weights, *ports))) == {"between"}
    halves = {name: value.astype(np.float16) for name, value in weights.items()}
    proto = onnx.load(after.path)
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in halves.items())
    onnx.save(proto, tmp_path / "h.onnx")
    assert untouched(before, replace(after, path=tmp_path / "h.onnx")) == frozenset()
