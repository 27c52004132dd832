"""A writer: which layers it can change in a mode and why not the others, and what follows the layers it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from pass_runs import PLAIN_X86, dataset, fresh, outputs_of
from quantization_models import FLOAT, cnn, cosine, encoder, random, write

from mlopt.compress.quantization import writer as module
from mlopt.compress.quantization.graph import survey
from mlopt.compress.quantization.scheme import Mode, Scheme
from mlopt.compress.quantization.settings import Calibration, Settings, WeightOnly
from mlopt.compress.quantization.writer import Writer, between
from mlopt.core.errors import PassError
from mlopt.formats.onnx.file import open_onnx, read_graph

IMAGES = {"image": random(16, 3, 8, 8)}
TEXT = {"ids": np.random.default_rng(0).integers(0, 50, (8, 6)), "offset": random(8, 6, 16, scale=0.1)}


def writer(model: Path, data: dict[str, Any] | None, tmp_path: Path, mode: Mode = Mode.STATIC, **said: Any) -> Writer:
    settings = Settings(**{
        "mode": mode, "scheme": Scheme.AUTO, "reduce_range": None, "portable": False, "per_channel": True,
        "calibration": Calibration.MINMAX, "bias_correction": False, "smooth_quant": False,
        "placement": "onnxruntime", "keep_first": 0, "exclude": (), "excluded_by": "exclude",
        "weight_only": WeightOnly(block_size=16), "tables": True, "hardware": PLAIN_X86, "batch_size": 1,
    } | said)  # fmt: skip
    found = survey(read_graph(model))
    return Writer(
        open_onnx(model), found, settings, fresh(tmp_path, "scratch"), calibration=dataset(data, tmp_path), samples=None
    )


def test_each_mode_has_its_layers_and_says_why_not_the_others(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    found = writer(model, IMAGES, tmp_path, Mode.AUTO)
    assert found.layers(Mode.STATIC) == ("first", "second", "head")
    assert found.layers(Mode.DYNAMIC) == found.layers(Mode.WEIGHT_ONLY) == ("head",)
    assert found.excluded(Mode.WEIGHT_ONLY)["first"] == "onnxruntime has no weight-only Conv"
    kept = writer(model, IMAGES, tmp_path, keep_first=1, exclude=("he*",))
    assert kept.layers(Mode.STATIC) == ("second",)
    assert set(kept.excluded(Mode.STATIC)) == {"first", "head"}


def test_an_embedding_table_is_a_layer_in_dynamic_mode_where_that_is_asked_for(tmp_path: Path) -> None:
    model = encoder(tmp_path / "m.onnx")
    assert writer(model, TEXT, tmp_path).layers(Mode.DYNAMIC) == ("embed", "up", "down", "head")
    assert writer(model, TEXT, tmp_path, tables=False).layers(Mode.DYNAMIC) == ("up", "down", "head")
    assert writer(model, TEXT, tmp_path).layers(Mode.STATIC) == ("up", "down", "head")


@pytest.mark.parametrize("mode", [Mode.STATIC, Mode.DYNAMIC, Mode.WEIGHT_ONLY])
def test_a_version_has_the_layers_that_were_asked_for_and_no_others(tmp_path: Path, mode: Mode) -> None:
    model = encoder(tmp_path / "m.onnx")
    found = writer(model, TEXT, tmp_path, Mode.AUTO)
    out = fresh(tmp_path, "out") / "m.onnx"
    written = found.write(mode, ("up",), out)
    assert (written.fault, written.quantized) == (None, frozenset({"up"}))
    for name, want in outputs_of(model, TEXT).items():
        assert 0.98 < cosine(outputs_of(out, TEXT)[name], want) < 1 - 1e-9


def test_static_mode_takes_calibration_data(tmp_path: Path) -> None:
    found = writer(cnn(tmp_path / "m.onnx"), None, tmp_path, Mode.AUTO)
    assert found.activations() == {}
    with pytest.raises(PassError, match="static INT8 needs calibration data"):
        _ = found.ranges


def test_what_a_layer_reads_is_counted_in_bytes_and_values(tmp_path: Path) -> None:
    found = writer(cnn(tmp_path / "m.onnx"), IMAGES, tmp_path)
    assert {n: b for n, b in found.weight_bytes().items() if b} == {
        "first": 4 * 8 * 3 * 9, "second": 4 * 16 * 8 * 9, "head": 4 * 5 * 16,
    }  # fmt: skip
    assert found.activations() == {"first": 3 * 64, "second": 8 * 64, "head": 16, "": 5}


def test_a_copy_that_computes_something_else_is_not_worked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn(tmp_path / "m.onnx", opset=12)
    raised = writer(model, IMAGES, tmp_path)
    assert (raised.prepared.opset, raised.per_channel) == (13, True)
    assert raised.remarks == ("the opset was raised from 12 to 13",)
    monkeypatch.setattr(module, "same_outputs", lambda *_: False)
    own = writer(model, IMAGES, tmp_path)
    assert (own.prepared.opset, own.per_channel, own.too_old) == (12, False, None)
    old = writer(cnn(tmp_path / "old.onnx", opset=9), IMAGES, tmp_path)
    assert str(old.too_old).startswith("opset 9 is too old for INT8, and raising the opset to 13 changes")


def chain() -> onnx.GraphProto:
    """``x -> one -> relu -> pool -> two -> out`` and a side way ``x, pool -> mixed``; ``mean`` only leads out."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MaxPool", ["b"], ["c"], name="pool"),
        helper.make_node("Add", ["c", "x"], ["d"], name="mixed"),
        helper.make_node("Conv", ["c", "v"], ["e"], name="two"),
        helper.make_node("Relu", ["e"], ["f"], name="ending"),
        helper.make_node("Exp", ["f"], ["g"], name="exp"),
        helper.make_node("GlobalAveragePool", ["e"], ["y"], name="mean"),
    ]
    return helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", FLOAT, None)])


FREE = frozenset({"relu", "pool", "mixed", "ending", "mean"})
OBSERVED = frozenset("xabcdefgy")


def test_what_stands_between_layers_follows_them() -> None:
    everything = ("one", "relu", "pool", "two", "ending", "mean")
    assert between(chain(), {"one", "two"}, FREE, OBSERVED) == everything
    assert between(chain(), {"two"}, FREE, OBSERVED) == ("two", "ending", "mean")
    assert between(chain(), {"one"}, FREE, OBSERVED) == ("one", "relu")  # a pool that leads to no layer stays


def test_nothing_follows_over_a_node_that_is_not_free_or_not_observed() -> None:
    assert between(chain(), {"one", "two"}, FREE - {"relu"}, OBSERVED) == ("one", "two", "ending", "mean")
    assert between(chain(), {"one", "two"}, FREE, OBSERVED - {"c"}) == ("one", "relu", "two", "ending", "mean")


def test_a_gemm_that_the_quantizer_does_not_split_is_for_static_mode_only(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], alpha=0.5, transA=1, name="odd")]
    ports = [("x", FLOAT, [4, 8])], [("y", FLOAT, [8, 4])]
    model = write(tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, *ports)
    found = writer(model, {"x": random(4, 4, 8)}, tmp_path, Mode.AUTO)
    assert found.excluded(Mode.DYNAMIC) == {"odd": "a Gemm with alpha 0.5 and transA 1 is for mode static only"}
    assert found.layers(Mode.STATIC) == ("odd",)
