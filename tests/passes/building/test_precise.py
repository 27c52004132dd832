"""What a recipe asks of precision: of the graph, and of the layers that the library tells of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorrt_graphs import product, quantized

from mlopt.core.errors import PassError
from mlopt.passes.building.precise import by_graph, by_layers
from mlopt.results.timing import Layer

INT8, FP32 = (Layer(name, "Convolution", name, "", ()) for name in ("int8", "fp32"))


def test_the_graph_must_have_it(tmp_path: Path) -> None:
    assert by_graph(quantized(tmp_path / "q.onnx"), {"int8": 1.0})["int8"] == 1.0
    with pytest.raises(PassError, match="fewer layers are in int8") as caught:
        by_graph(product(tmp_path / "m.onnx"), {"int8": 0.5})
    assert "placement: tensorrt" in str(caught.value.problems[0].fix)


@pytest.mark.parametrize("layers", [(), (INT8, FP32), (Layer("a name", "", "", "", ()),)])
def test_an_engine_passes_with_as_many_layers_or_none_that_tell(layers: tuple[Layer, ...]) -> None:
    by_layers(layers, {"int8": 0.5}, "sm89")


def test_an_engine_with_fewer_does_not(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="computes fewer layers in int8") as caught:
        by_layers((INT8, FP32, FP32), {"int8": 0.5}, "sm89 int8 static")
    (problem,) = caught.value.problems
    assert (problem.got, problem.expected) == ("33% of them, for sm89 int8 static", "at least 50%")
    assert problem.fix
