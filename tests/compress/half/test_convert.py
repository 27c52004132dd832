"""From ranges over rehearsals to a file: what is converted, what is kept and why, and when nothing comes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pass_runs import dataset, outputs_of
from quantization_models import FLOAT, cnn, cosine, encoder, random
from quantization_models import write as write_graph

from mlopt.compress.half import convert
from mlopt.compress.half.convert import HalfPrecision, halve, without_kernel
from mlopt.compress.half.graph import BF16, FP16, Half, float_tensors, write
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.prepared import WorkingCopy
from mlopt.core.errors import PassError
from mlopt.formats.onnx.file import open_onnx, read_graph

IMAGES = {"image": random(16, 3, 8, 8)}
WANTED = HalfPrecision(
    FP16, bound=2048, ceiling=65504, min_sqnr_db=30, seconds=60, exclude=(), excluded_by="passes.fp16.exclude",
    device="cpu", batch_size=1,
)  # fmt: skip


def halved(model: Path, feeds: dict[str, Any], wanted: HalfPrecision = WANTED) -> dict[str, Any] | str:
    data = dataset(feeds, model.parent)
    assert data is not None
    return halve(open_onnx(model), wanted, data, model.parent / "half.onnx")


def prepared(model: Path) -> WorkingCopy:
    folder = model.parent / "prepared"
    folder.mkdir()
    return prepare(open_onnx(model), folder)


def everything(given: WorkingCopy) -> frozenset[str]:
    return frozenset(node.name for node in read_graph(given.path).graph.node)


def test_what_onnxruntime_has_no_kernel_for_is_found_by_trying(tmp_path: Path) -> None:
    given = prepared(encoder(tmp_path / "m.onnx"))
    floats = float_tensors(read_graph(given.path).graph)
    left = without_kernel(given, everything(given), "cpu")
    assert left["up"] == left["down"] == "onnxruntime has no bfloat16 kernel for MatMul on device cpu"
    rest = everything(given) - left.keys()
    assert "embed" in rest  # Gather only copies
    assert "table" in floats
    write(given, rest, BF16, tmp_path / "half.onnx")
    assert without_kernel(given, rest, "cpu") == {}


def test_what_fits_is_converted_and_the_account_is_json(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    notes = halved(model, IMAGES)
    assert isinstance(notes, dict)
    assert (notes["converted"], notes["nodes"], notes["kept_fp32"], notes["samples"]) == (7, 7, {}, 16)
    assert {tensor.data_type for tensor in onnx.load(tmp_path / "half.onnx").graph.initializer} == {TensorProto.FLOAT16}
    json.dumps(notes, allow_nan=False)
    assert cosine(outputs_of(tmp_path / "half.onnx", IMAGES)["logits"], outputs_of(model, IMAGES)["logits"]) > 0.999
    assert {entry.name for entry in tmp_path.iterdir()} == {"m.onnx", "half.onnx", "data0"}  # no scratch is left


def test_what_the_recipe_excludes_stays_and_a_name_that_fits_nothing_is_an_error(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    notes = halved(model, IMAGES, replace(WANTED, exclude=("head",)))
    assert isinstance(notes, dict)
    assert notes["kept_fp32"] == {"head": "excluded by 'head'"}
    with pytest.raises(PassError) as caught:
        halved(model, IMAGES, replace(WANTED, exclude=("haed",)))
    assert str(caught.value.problems[0].where).startswith("passes.fp16.exclude")


@pytest.mark.parametrize(("half", "said"), [(FP16, "bfloat16 would hold 1 that FP16 cannot"), (BF16, "")])
def test_when_all_must_stay_nothing_is_written_and_the_reason_is_told(tmp_path: Path, half: Half, said: str) -> None:
    nodes = [helper.make_node("Mul", ["x", "large"], ["y"], name="grow")]
    ports = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    model = write_graph(tmp_path / "m.onnx", nodes, {"large": np.float32(1e6).reshape(())}, *ports)
    reason = halved(model, {"x": random(6, 4)}, replace(WANTED, half=half, exclude=("grow",) if half is BF16 else ()))
    assert isinstance(reason, str)
    assert reason.startswith("all 1 nodes must stay in FP32, such as 'grow': ")
    assert reason.endswith(f"{said}: see the pass bf16" if said else "excluded by 'grow'")
    assert not (tmp_path / "half.onnx").exists()


def test_a_model_that_onnxruntime_does_not_run_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "refusal", lambda *_: "no kernel")
    assert halved(cnn(tmp_path / "m.onnx"), IMAGES) == "onnxruntime does not run the FP16 model: no kernel"
