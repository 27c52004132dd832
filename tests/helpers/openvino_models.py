"""Small graphs, run in OpenVINO and in ONNX Runtime; where OpenVINO is not installed, such tests are skipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.packages import version
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.openvino_options import OpenVinoOptions
from mlopt.runtimes.table import open_session

needed = pytest.mark.skipif(version("openvino") is None, reason="openvino is not installed")
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Array = np.ndarray[Any, Any]


def graph(
    path: Path, nodes: list[onnx.NodeProto], inputs: Mapping[str, tuple[int, list[Any]]], outputs: Mapping[str, int],
    **held: Array,
) -> Model:  # fmt: skip
    """Write a graph; the shapes of its outputs are left to it."""
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, *port) for name, port in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), path)
    return open_onnx(path)


def one(path: Path, operator: str = "Identity", dtype: int = FLOAT, domain: str = "") -> Model:
    """y = operator(x), one dimension ``n``."""
    return graph(path, [helper.make_node(operator, ["x"], ["y"], domain=domain)], {"x": (dtype, ["n"])}, {"y": dtype})


def in_openvino(model: Model, **options: Any) -> Deployable:
    return Deployable(model, "openvino", OpenVinoOptions(threads=1, **options))


def answers(deployable: Deployable, feeds: Mapping[str, Array]) -> dict[str, Array]:
    with open_session(deployable) as session:
        return session.run(feeds)


def agree(model: Model, feeds: Mapping[str, Array], tolerance: float = 1e-5) -> None:
    expected, got = answers(in_runtime(model), feeds), answers(in_openvino(model), feeds)
    assert list(got) == list(expected) == [spec.name for spec in model.outputs]
    for name, array in expected.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        np.testing.assert_allclose(got[name], array, rtol=tolerance, atol=tolerance)
