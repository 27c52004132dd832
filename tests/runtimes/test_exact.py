"""INT8 on a CPU without VNNI: opened exactly, or refused with the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper, numpy_helper

from mlopt.core.errors import ModelError
from mlopt.core.hardware import Hardware
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes import exact
from mlopt.runtimes.exact import remark
from mlopt.runtimes.onnxruntime import session_options
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import open_session

OPTIONS = OnnxRuntimeOptions(threads=1)


def integer_product(path: Path, weight: int | None) -> Model:
    """y = a @ w in integers; ``w`` is 64 x 4 of one value, or given with the input."""
    inputs = [helper.make_tensor_value_info("a", TensorProto.UINT8, ["n", 64])]
    tensors = []
    if weight is None:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.INT8, [64, 4]))
    else:
        tensors.append(numpy_helper.from_array(np.full((64, 4), weight, np.int8), "w"))
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT32, ["n", 4])]
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "w"], ["y"])], "g", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return open_onnx(path)


def is_exact(model: Model) -> bool:
    try:
        return session_options(OPTIONS, model).get_session_config_entry("session.x64quantprecision") == "1"
    except RuntimeError:  # it is not set
        return False


@pytest.fixture
def without_vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime still sees the real CPU; what mlopt asks of it is what it would ask on the other one."""
    cpu = Hardware(cpu="a CPU", architecture="x86_64", isa=("avx2", "fma"), cores=2, memory_bytes=8 << 30)
    monkeypatch.setattr(exact, "detect_cpu", lambda: cpu)


@pytest.mark.usefixtures("without_vnni")
@pytest.mark.parametrize(("weight", "wanted"), [(127, True), (64, False)])
def test_weights_that_would_overflow_on_this_cpu_are_computed_exactly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, weight: int, wanted: bool
) -> None:
    model = integer_product(tmp_path / "m.onnx", weight)
    assert is_exact(model) is wanted
    assert (remark(model, OPTIONS) is not None) is wanted
    assert ("portable" in caplog.text) is wanted
    codes = np.full((1, 64), 255, np.uint8)
    with open_session(in_runtime(model)) as session:
        assert session.run({"a": codes})["y"].tolist() == [[255 * weight * 64] * 4]


def test_a_cpu_that_adds_in_32_bits_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = Hardware(cpu="a CPU", architecture="x86_64", isa=("avx2", "avx_vnni"), cores=2, memory_bytes=8 << 30)
    monkeypatch.setattr(exact, "detect_cpu", lambda: cpu)
    model = integer_product(tmp_path / "m.onnx", 127)
    assert not is_exact(model)
    assert remark(model, OPTIONS) is None


@pytest.mark.usefixtures("without_vnni")
@pytest.mark.parametrize(
    ("weight", "level", "fix"), [(None, "all", "scheme u8u8"), (127, "basic", "graph_optimization all")]
)
def test_what_cannot_be_computed_exactly_is_refused_with_a_way_out(
    tmp_path: Path, weight: int | None, level: str, fix: str
) -> None:
    deployed = in_runtime(integer_product(tmp_path / "m.onnx", weight), graph_optimization=level)
    with pytest.raises(ModelError, match="add INT8 products in 16 bits") as refused, open_session(deployed):
        pass
    assert fix in str(refused.value.problems[0].fix)
