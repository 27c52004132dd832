"""What OpenVINO is told: all of it, and nothing that a stranger's manifest could make use of."""

from __future__ import annotations

from pathlib import Path

import pytest
from openvino_models import needed, one
from pydantic import ValidationError

from mlopt.runtimes import openvino as adapter
from mlopt.runtimes.openvino_options import OpenVinoOptions


@needed
def test_nothing_is_left_to_openvino(tmp_path: Path) -> None:
    model = one(tmp_path / "m.onnx")
    native = adapter.compiled(model, OpenVinoOptions(threads=2, hint="throughput", streams=8, pinning=False))
    told = {
        name: native.get_property(name)
        for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "ENABLE_CPU_PINNING", "DYNAMIC_QUANTIZATION_GROUP_SIZE")
    }
    assert list(told.values()) == [2, 2, False, 0]
    assert native.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert native.get_property("EXECUTION_MODE_HINT").name == "ACCURACY"


def test_options_of_strangers_are_a_closed_list() -> None:
    assert set(OpenVinoOptions.model_fields) == {
        "threads",
        "device",
        "precision",
        "shapes",
        "hint",
        "streams",
        "pinning",
    }
    for odd in ({"cache_dir": "/tmp"}, {"precision": "auto"}, {"streams": 0}, {"hint": "LATENCY"}, {"pinning": 1}):
        with pytest.raises(ValidationError):
            OpenVinoOptions.model_validate({"threads": 1, "device": "cpu", **odd}, strict=True)
