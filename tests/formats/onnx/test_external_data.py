"""External data of ONNX models: what a model may name, and that nothing else is opened, wherever a tensor stands."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlopt.core.errors import MloptError, ModelError
from mlopt.formats.onnx.external_data import external_files, tensors
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.runtimes.table import open_session

FILE = "w.bin"
SIZE = 64 * 4 * 4
Change = Callable[[Path], object]


def external(name: str = "w", **entries: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=(64, 4), data_location=TensorProto.EXTERNAL)
    for key, value in {"location": FILE, "offset": "0", "length": str(SIZE), **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(*weights: onnx.TensorProto, nodes: list[onnx.NodeProto] | None = None) -> onnx.GraphProto:
    value = helper.make_tensor_value_info
    inner = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return helper.make_graph(inner, "g", [value("x", 1, [1, 64])], [value("y", 1, [1, 4])], list(weights))


def model(*weights: onnx.TensorProto, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    return helper.make_model(graph(*weights, nodes=nodes), opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def write(folder: Path, proto: onnx.ModelProto) -> Path:
    (folder / FILE).write_bytes(np.ones((64, 4), np.float32).tobytes())
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def with_tensor(**fields: Any) -> onnx.TensorProto:
    tensor = external()
    for name, value in fields.items():
        if isinstance(value, list):
            tensor.ClearField(name)
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


def without(key: str) -> onnx.TensorProto:
    tensor = external()
    kept = [entry for entry in tensor.external_data if entry.key != key]
    del tensor.external_data[:]
    tensor.external_data.extend(kept)
    return tensor


def twice(key: str, value: str) -> onnx.TensorProto:
    tensor = external()
    tensor.external_data.add(key=key, value=value)
    return tensor


LEAVES = "the external data path leaves the model's folder"
NO_NAME = "the external data path is no plain file name"
MISSING = "an external data file is missing"
TENSORS = {
    "parent": (external(location="../w.bin"), LEAVES),
    "inner_parent": (external(location="sub/../../w.bin"), LEAVES),
    "absolute": (external(location="/etc/passwd"), LEAVES),
    "no_location": (without("location"), LEAVES),
    "empty_location": (external(location=""), LEAVES),
    "only_a_dot": (external(location="."), NO_NAME),
    "backslash": (external(location="..\\w.bin"), NO_NAME),
    "nul": (external(location="w.bin\0.txt"), NO_NAME),
    "newline": (external(location="w\n.bin"), NO_NAME),
    "memory_address": (external(location="*/_ORT_MEM_ADDR_/*"), NO_NAME),
    "absent": (external(location="other.bin"), MISSING),
    "below_a_file": (external(location="w.bin/w.bin"), MISSING),
    "very_long": (external(location="w" * 5000), MISSING),
    "negative_offset": (external(offset="-4"), "the offset of the external data is no number"),
    "signed_offset": (external(offset="+0"), "the offset of the external data is no number"),
    "hex_length": (external(length="0x400"), "the length of the external data is no number"),
    "empty_length": (external(length=""), "the length of the external data is no number"),
    "digits_of_another_script": (external(length="\u0661"), "the length of the external data is no number"),
    "huge_offset": (external(offset="9" * 5000), "the offset of the external data is no number"),
    "offset_beyond_the_end": (external(offset=str(1 << 62)), "an external data file is cut short"),
    "offset_near_the_end": (external(offset="4"), "an external data file is cut short"),
    "length_too_small": (external(length="16"), "the length of the external data does not fit the tensor's shape"),
    "length_too_large": (external(length="2048"), "the length of the external data does not fit the tensor's shape"),
    "shape_too_large": (with_tensor(dims=[1 << 40, 1 << 40]), "does not fit the tensor's shape"),
    "no_length": (without("length"), None),
    "negative_size": (with_tensor(dims=[-64, -4]), "the tensor has a negative size"),
    "text": (with_tensor(data_type=TensorProto.STRING), "mlopt knows no external data of this dtype"),
    "unknown_dtype": (with_tensor(data_type=4711), "mlopt knows no external data of this dtype"),
    "raw_as_well": (with_tensor(raw_data=bytes(SIZE)), "the tensor has its data both in the model and in another file"),
    "floats_as_well": (with_tensor(float_data=[1.0]), "the tensor has its data both in the model and in another file"),
    "not_marked": (
        with_tensor(data_location=TensorProto.DEFAULT), "the tensor has its data both in the model and in another file",
    ),
    "two_locations": (twice("location", "/etc/passwd"), "the tensor says twice where its data is"),
    "two_offsets": (twice("offset", "8"), "the tensor says twice where its data is"),
    "no_entries": (TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL), LEAVES),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_what_a_tensor_may_say(name: str, tmp_path: Path) -> None:
    tensor, message = TENSORS[name]
    path = write(tmp_path, model(tensor))
    if message is None:
        assert open_onnx(path).files == (path, tmp_path / FILE)
        return
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        open_onnx(path)
    assert caught.value.exit_code == 2
    assert caught.value.problems[0].where == f"{path}: tensor 'w'"
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def link(path: Path) -> None:
    (path / FILE).rename(path / "real.bin")
    (path / FILE).symlink_to("real.bin")


def link_to_a_secret(path: Path) -> None:
    (path / FILE).unlink()
    (path / FILE).symlink_to("/etc/passwd")


def second_name(path: Path) -> None:
    (path / "other.bin").hardlink_to(path / FILE)


def pipe(path: Path) -> None:
    (path / FILE).unlink()
    os.mkfifo(path / FILE)


def directory(path: Path) -> None:
    (path / FILE).unlink()
    (path / FILE).mkdir()


def device(path: Path) -> None:
    (path / FILE).unlink()
    (path / FILE).symlink_to("/dev/zero")


def cut(path: Path) -> None:
    (path / FILE).write_bytes(bytes(SIZE - 1))


FILES: dict[str, tuple[Change, str]] = {
    "symbolic_link": (link, "the external data path is a link"),
    "link_to_a_secret": (link_to_a_secret, "the external data path is a link"),
    "hard_link": (second_name, "the external data file has other names (hard links)"),
    "pipe": (pipe, "the external data is no regular file"),
    "directory": (directory, "the external data is no regular file"),
    "device": (device, "the external data path is a link"),
    "cut_short": (cut, "an external data file is cut short"),
    "removed": (lambda path: (path / FILE).unlink(), MISSING),
}


@pytest.mark.parametrize("name", FILES)
def test_what_the_file_may_be(name: str, tmp_path: Path) -> None:
    change, message = FILES[name]
    path = write(tmp_path, model(external()))
    change(tmp_path)
    with pytest.raises(ModelError, match=re.escape(message)):
        open_onnx(path)


def test_a_folder_on_the_way_may_not_be_a_link(tmp_path: Path) -> None:
    path = write(tmp_path, model(external(location="sub/w.bin")))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / FILE).rename(tmp_path / "elsewhere" / FILE)
    (tmp_path / "sub").symlink_to("elsewhere")
    with pytest.raises(ModelError, match="the external data path is a link"):
        open_onnx(path)


def sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[8, 8])


def node(**attributes: Any) -> onnx.NodeProto:
    made = helper.make_node("Any", ["x"], ["y"])
    for name, (kind, value) in attributes.items():
        attribute = made.attribute.add(name=name)
        target = getattr(attribute, kind)
        target.extend([value]) if hasattr(target, "extend") else target.CopyFrom(value)
    return made


def in_function(name: str) -> onnx.ModelProto:
    proto = model()
    function = proto.functions.add(name="f", domain="d")
    if name == "default":
        function.attribute_proto.add(name="value").t.CopyFrom(external())
    else:
        function.node.append(node(value=("t", external())))
    return proto


def in_training(name: str) -> onnx.ModelProto:
    proto = model()
    getattr(proto.training_info.add(), name).initializer.append(external())
    return proto


INLINE = TensorProto(name="i", data_type=TensorProto.INT64, dims=[1], int64_data=[0])
BRANCH = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "b", [], [], [external()])
PLACES = {
    "initializer": model(external()),
    "sparse_values": helper.make_model(
        helper.make_graph([], "g", [], [], sparse_initializer=[sparse(external(), INLINE)])
    ),
    "sparse_indices": helper.make_model(
        helper.make_graph([], "g", [], [], sparse_initializer=[sparse(INLINE, external())])
    ),
    "attribute": model(nodes=[node(value=("t", external()))]),
    "attribute_list": model(nodes=[node(values=("tensors", external()))]),
    "attribute_sparse": model(nodes=[node(value=("sparse_tensor", sparse(external(), INLINE)))]),
    "attribute_sparse_list": model(nodes=[node(values=("sparse_tensors", sparse(INLINE, external())))]),
    "subgraph": model(nodes=[node(body=("g", BRANCH))]),
    "subgraph_list": model(nodes=[node(bodies=("graphs", BRANCH))]),
    "subgraph_of_a_subgraph": model(
        nodes=[node(body=("g", helper.make_graph([node(body=("g", BRANCH))], "b", [], [])))]
    ),
    "function": in_function("node"),
    "function_default": in_function("default"),
    "training": in_training("algorithm"),
    "initialization": in_training("initialization"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_tensor_is_found_wherever_it_stands(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, PLACES[name])
    assert external_files(path, PLACES[name]) == (tmp_path / FILE,)
    (tmp_path / FILE).unlink()
    with pytest.raises(ModelError, match=MISSING):
        external_files(path, PLACES[name])


def test_every_field_that_holds_a_tensor_is_known() -> None:
    """A version of onnx that adds one must be met by a look at ``tensors``."""
    holds = {"TensorProto", "SparseTensorProto", "GraphProto", "AttributeProto", "FunctionProto", "NodeProto"}
    found = {
        f"{message.DESCRIPTOR.name}.{field.name}"
        for message in (
            onnx.ModelProto, onnx.GraphProto, onnx.NodeProto, onnx.AttributeProto, onnx.FunctionProto,
            onnx.SparseTensorProto, onnx.TrainingInfoProto,
        )
        for field in message.DESCRIPTOR.fields
        if field.message_type is not None and field.message_type.name in holds | {"TrainingInfoProto"}
    }  # fmt: skip
    assert found == {
        "ModelProto.graph", "ModelProto.training_info", "ModelProto.functions",
        "GraphProto.node", "GraphProto.initializer", "GraphProto.sparse_initializer",
        "NodeProto.attribute", "FunctionProto.node", "FunctionProto.attribute_proto",
        "AttributeProto.t", "AttributeProto.g", "AttributeProto.sparse_tensor", "AttributeProto.tensors",
        "AttributeProto.graphs", "AttributeProto.sparse_tensors",
        "SparseTensorProto.values", "SparseTensorProto.indices",
        "TrainingInfoProto.initialization", "TrainingInfoProto.algorithm",
    }  # fmt: skip


def test_tensors_may_share_bytes_and_a_file_below(tmp_path: Path) -> None:
    half = TensorProto(name="h", data_type=TensorProto.INT4, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "./w.bin", "offset": str(SIZE - 2), "length": "2"}.items():
        half.external_data.add(key=key, value=value)
    path = write(tmp_path, model(external(), external("same"), half))
    assert open_onnx(path).files == (path, tmp_path / FILE)
    assert sum(1 for _ in tensors(read_graph(path))) == 3


def test_what_is_accepted_runs(tmp_path: Path) -> None:
    with open_session(in_runtime(open_onnx(write(tmp_path, model(external()))))) as session:
        np.testing.assert_array_equal(session.run({"x": np.ones((1, 64), np.float32)})["y"], np.full((1, 4), 64.0))


def test_names_that_are_no_text_are_one_error(tmp_path: Path) -> None:
    path = write(tmp_path, model(external("abcd")))
    path.write_bytes(path.read_bytes().replace(b"abcd", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(ModelError, match="a name in the file is not text in UTF-8"):
        open_onnx(path)


SEEDS = [proto.SerializeToString() for proto in (*PLACES.values(), model(*(made for made, _ in TENSORS.values())))]


@pytest.mark.heavy
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.sampled_from(SEEDS), edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=4))
def test_mutated_files_raise_only_our_errors(seed: bytes, edits: list[tuple[float, bytes]], tmp_path: Path) -> None:
    data = seed
    for place, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + max(1, len(new)) :]
    path = write(tmp_path, model())
    path.write_bytes(data)
    with contextlib.suppress(MloptError):
        opened = open_onnx(path)
        assert all(file.parent == tmp_path for file in opened.files)
