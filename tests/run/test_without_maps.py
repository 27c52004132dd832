"""A source file that ends in ZipMap is used without it, from the cache the second time; any other as it is."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from mlopt.core.cache import Store
from mlopt.formats.onnx.file import open_onnx
from mlopt.run.without_maps import without_maps


def zipped(path: Path) -> Path:
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    output = helper.make_value_info("y", helper.make_sequence_type_proto(maps))
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(helper.make_graph([node], "g", [value], [output]), opset_imports=opsets), path)
    return path


def test_it_is_made_once_and_said_each_time(tmp_path: Path) -> None:
    store, source = Store(tmp_path / "cache"), open_onnx(zipped(tmp_path / "a.onnx"))
    plain, cached, said = without_maps(source, "net", store)
    assert (plain.outputs[0].name, plain.outputs[0].dtype, cached) == ("y", "float32", False)
    assert without_maps(source, "net", store) == (plain, True, said)
    assert without_maps(plain, "net", store) == (plain, True, ())
