"""Without ZipMap a model gives the same label, and as a tensor the numbers that were in its maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mlopt.formats.onnx.file import check_tensors, open_onnx
from mlopt.formats.onnx.zipmap import ends_in_zipmap, unzip, write_unzipped

FLOAT, ML = TensorProto.FLOAT, "ai.onnx.ml"
X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def classifier(path: Path, *, strings: bool = False, second: str = "", zipped: bool = True) -> Path:
    """Write a linear classifier as converters do; ``second`` is a further reader of the probabilities."""
    names: dict[str, Any] = {"classlabels_strings": ["a", "b", "c"]} if strings else {"classlabels_ints": [4, 5, 6]}
    keys = names if strings else {"classlabels_int64s": [4, 5, 6]}
    made = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "p"], domain=ML, coefficients=np.arange(12.0).tolist(),
            intercepts=[0.0] * 3, multi_class=1, post_transform="SOFTMAX", **names,
        ),
        helper.make_node("ZipMap", ["p"], ["probabilities"], domain=ML, **keys),
    ]  # fmt: skip
    key = TensorProto.STRING if strings else TensorProto.INT64
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, [])))
    outputs = [helper.make_tensor_value_info("label", key, ["n"]), helper.make_value_info("probabilities", maps)]
    if not zipped:
        made[1] = helper.make_node("SequenceConstruct", ["p"], ["probabilities"])
        of_tensors = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ["n", 3]))
        outputs[1] = helper.make_value_info("probabilities", of_tensors)
    if second == "output":
        outputs.append(helper.make_tensor_value_info("p", FLOAT, ["n", 3]))
    elif second:
        made.append(helper.make_node("Neg", ["p"], ["negative"]))
        outputs.append(helper.make_tensor_value_info("negative", FLOAT, ["n", 3]))
    graph = helper.make_graph(made, "g", [helper.make_tensor_value_info("x", FLOAT, ["n", 4])], outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def answers(path: Path) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, {"x": X}), strict=True))


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("second", ["", "output", "node"])
def test_the_tensor_holds_what_the_maps_held(tmp_path: Path, second: str, *, strings: bool) -> None:
    source = open_onnx(classifier(tmp_path / "a.onnx", strings=strings, second=second))
    assert ends_in_zipmap(source)
    plain, (changed,) = write_unzipped(source, tmp_path / "b.onnx")
    onnx.checker.check_model(str(plain.path), full_check=True)
    check_tensors(plain)
    assert [spec.name for spec in plain.outputs] == [spec.name for spec in source.outputs]
    assert plain.inputs == source.inputs
    before, after = answers(source.path), answers(plain.path)
    classes = [name if strings else int(name) for name in changed.classes]
    assert [[row[name] for name in classes] for row in before.pop("probabilities")] == after.pop(
        "probabilities"
    ).tolist()
    assert {name: array.tolist() for name, array in before.items()} == {n: a.tolist() for n, a in after.items()}


def test_the_rest_of_the_graph_is_untouched(tmp_path: Path) -> None:
    source = onnx.load(classifier(tmp_path / "a.onnx"))
    kept = onnx.ModelProto()
    kept.CopyFrom(source)
    unzip(kept)
    assert len(kept.graph.node) == 1
    kept.graph.node[0].output[1] = "p"
    assert kept.graph.node[0] == source.graph.node[0]
    assert kept.graph.output[0] == source.graph.output[0]


def test_what_is_said_names_output_and_classes(tmp_path: Path) -> None:
    (changed,) = unzip(onnx.load(classifier(tmp_path / "a.onnx")))
    assert str(changed) == (
        "ZipMap was taken out: output 'probabilities' is a tensor now, no map; its columns are the classes 4, 5, 6"
    )


def test_other_sequences_stay(tmp_path: Path) -> None:
    assert not ends_in_zipmap(open_onnx(classifier(tmp_path / "a.onnx", zipped=False)))
