"""A candidate's answers to every sample: written in order, read as they were, whatever their shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_models import dense, saved
from deployables import in_runtime
from onnx import helper

from mlopt.core.errors import ModelError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.candidate import Candidate
from mlopt.measure.outputs import read_outputs, write_outputs


def samples(folder: Path, values: np.ndarray) -> Dataset:
    return store(Samples({"x": values.astype(np.float32)}), folder / "data", "made")


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_every_sample_has_its_answer_whatever_the_batch(tmp_path: Path, batch_size: int) -> None:
    values = np.random.default_rng(0).random((7, 64), np.float32)
    model = open_onnx(dense(tmp_path / "m.onnx"))
    found = write_outputs(
        Candidate("m", in_runtime(model), batch_size), samples(tmp_path, values), batch_size, tmp_path
    )
    assert found == {"names": ["h1"], "answers": {"h1": "float32 of rank 2"}}
    (answers,) = read_outputs(tmp_path, found["names"]).values()
    np.testing.assert_allclose(answers, values, rtol=1e-5)  # its weights are an identity
    assert isinstance(answers, np.memmap)


def test_outputs_whose_names_are_no_file_names_are_kept_by_number(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["../y/0"])]
    model = open_onnx(saved(tmp_path / "m.onnx", nodes, [], "x", ["batch", 4], "../y/0"))
    (tmp_path / "out").mkdir()
    data = samples(tmp_path, np.ones((3, 4)))
    found = write_outputs(Candidate("m", in_runtime(model)), data, 1, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["0.npy"]
    assert read_outputs(tmp_path / "out", found["names"])["../y/0"].shape == (3, 4)


def test_answers_of_several_sizes_come_back_as_they_were(tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["t"]), helper.make_node("Transpose", ["t"], ["y"])]
    path = saved(tmp_path / "m.onnx", nodes, [], "x", [1, 4], "y")
    model = open_onnx(_with_integer_output(path))
    data = samples(tmp_path, np.array([[0, 1, 0, 1], [1, 1, 1, 0]]))
    found = write_outputs(Candidate("m", in_runtime(model)), data, 1, tmp_path)
    answers = read_outputs(tmp_path, found["names"])["y"]
    assert [np.asarray(each).tolist() for each in answers] == [[[0, 1], [0, 3]], [[0, 0], [0, 1], [0, 2]]]


def _with_integer_output(path: Path) -> Path:
    import onnx

    proto = onnx.load(path)
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save(proto, path)
    return path


def test_only_what_must_repeat_itself_is_asked_twice(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["n"]), helper.make_node("Add", ["x", "n"], ["y"])]
    model = open_onnx(saved(tmp_path / "m.onnx", nodes, [], "x", ["batch", 4], "y"))
    noisy, data = Candidate("m", in_runtime(model)), samples(tmp_path, np.ones((3, 4)))
    assert write_outputs(noisy, data, 1, tmp_path)["names"] == ["y"]
    with pytest.raises(ModelError, match="the model is random"):
        write_outputs(noisy, data, 1, tmp_path, twice=True)
