"""Two models that BentoML serves as one: the code that goes along feeds the second with what the first gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import deployed
import numpy as np
import pytest
from onnx import TensorProto, helper, save


def added(path: Path) -> Path:
    """Write a model of two inputs: ``y`` is ``h`` and ``more``."""
    sizes = ["batch", 4]
    graph = helper.make_graph(
        [helper.make_node("Add", ["h", "more"], ["y"])], "added",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("h", "more")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = deployed.artifact(tmp_path / "first", deployed.doubled)
    told = deployed.written(tmp_path / "out", "bentoml", first, deployed.artifact(tmp_path / "second", added))
    assert (told["ensemble"], told["ensemble_why"]) == ("first-second", "first feeds h")
    return tmp_path / "out"


@pytest.fixture
def parts(folder: Path) -> Iterator[list[ModuleType]]:
    with deployed.modules(folder, "ensemble", "model_runtime") as found:
        yield found


def opened(folder: Path, parts: list[ModuleType]) -> Any:
    ensemble, runtime = parts
    first, second = (runtime.ServedModel(folder / "models" / name / "1", 4) for name in ("first", "second"))
    about = ensemble.described("both", first.about, second.about, ["h"])
    return ensemble.Ensemble(about, first, second, ["h"])


def row(value: float, more: float) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 4), value, np.float32), "more": np.full((1, 4), more, np.float32)}


def test_requests_go_through_both_in_one_inference_each(folder: Path, parts: list[ModuleType]) -> None:
    both, ran = opened(folder, parts), []
    answers = both.run_together(
        [row(1, 10), row(2, 20), row(3, 30)], lambda model, rows: ran.append((model.name, rows))
    )
    assert [float(each["y"][0, 0]) for each in answers] == [12, 24, 36]
    assert ran == [("first", 3), ("second", 3)]


def test_one_that_fails_in_either_spoils_no_other(folder: Path, parts: list[ModuleType]) -> None:
    both, runtime = opened(folder, parts), parts[1]
    requests = [
        row(1, 1),
        {"x": row(1, 1)["x"]},
        {**row(1, 1), "x": np.zeros((1, 5), np.float32)},
        {**row(1, 1), "more": np.zeros((1, 5), np.float32)},
        row(4, 4),
    ]
    answers = both.run_together(requests, lambda _model, _rows: None)
    assert [float(each["y"][0, 0]) for each in (answers[0], answers[4])] == [3, 12]
    assert all(isinstance(each, runtime.BadInput) for each in answers[1:4])
    assert str(answers[1]) == "inputs x, expected x, more"


def test_what_is_told_of_both(folder: Path, parts: list[ModuleType]) -> None:
    ensemble, runtime = parts
    first, second = (runtime.described(folder / "models" / name / "1") for name in ("first", "second"))
    about = ensemble.described("both", first, second, ["h"])
    assert [spec["name"] for spec in about["inputs"]] == ["x", "more"]
    assert [spec["name"] for spec in about["outputs"]] == ["y"]
    assert opened(folder, parts).parameters == {
        "digest": second["digest"], "version": "1", "digest_first": first["digest"],
    }  # fmt: skip
