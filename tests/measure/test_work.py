"""How much work an inference of the samples at hand is, and that what is not known is not called nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from inspected_models import one_node, partly_quantized
from onnx import helper
from quantization_models import encoder

from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure.work import macs


def data(folder: Path, **arrays: np.ndarray) -> Dataset:
    return store(Samples(arrays), folder / "data", "made")


@pytest.mark.parametrize("batch", [1, 4])
def test_an_inference_of_so_many_samples_is_counted(tmp_path: Path, batch: int) -> None:
    model = open_onnx(partly_quantized(tmp_path / "m.onnx"))
    samples = data(tmp_path, x=np.zeros((8, 3, 10, 10), np.float32))
    assert macs(model, samples, batch) == batch * (8 * 8 * 8 * 27 + 512 * 4)


def test_other_dynamic_sizes_are_those_of_the_samples(tmp_path: Path) -> None:
    model = open_onnx(encoder(tmp_path / "m.onnx"))
    samples = data(tmp_path, ids=np.zeros((9, 7), np.int64), offset=np.zeros((9, 7, 16), np.float32))
    assert macs(model, samples, 1) == 7 * (16 * 32 + 32 * 4) + 4 * 3


def test_what_cannot_be_counted_has_none(tmp_path: Path) -> None:
    node = helper.make_node("Attention", ["x", "w"], ["y"], domain="com.microsoft", num_heads=2)
    path = one_node(tmp_path / "m.onnx", node, {"w": (4, 12)}, ["n", 5, 4])
    assert macs(open_onnx(path), data(tmp_path, x=np.zeros((2, 5, 4), np.float32)), 1) is None
