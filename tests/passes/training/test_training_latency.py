"""How far to prune for a latency: the search, on a clock that is made up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from pass_runs import PLAIN_X86, fresh
from prunable_models import CNN, IMAGE, built, samples

from mlopt.compress.prune.settings import Structure
from mlopt.core.errors import PassError
from mlopt.core.target import Objective, Target
from mlopt.formats.torch.model import load_module
from mlopt.passes.base import Context
from mlopt.results.timing import Speed

pytestmark = pytest.mark.heavy

pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")


class Clock:
    """A version takes ``floor`` of the time, and the rest in proportion to its kernels."""

    def __init__(self, floor: float) -> None:
        self.floor = floor

    def __call__(self, deployable: Any, *_: Any) -> Clock:
        self.whole = weights(deployable.model.path)
        return self

    def race(self, versions: Mapping[str, Path], _max_time: float) -> dict[str, Speed]:
        shares = {name: self.floor + (1 - self.floor) * weights(path) / self.whole for name, path in versions.items()}
        return {name: Speed(1 / share, 1 / share, 1 / share) for name, share in shares.items()}


def weights(path: Path) -> int:
    return sum(each.dims[0] * each.dims[1] for each in onnx.load(path).graph.initializer if len(each.dims) == 4)


def written(module: Any, path: Path) -> Path:
    """Write a file that holds the kernels, and computes nothing: quicker than an export."""
    kernels = [
        numpy_helper.from_array(value.detach().numpy(), name)
        for name, value in module.named_parameters() if value.ndim == 4
    ]  # fmt: skip
    specs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3, 16, 16]) for name in ("image", "y")
    ]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["y"])], "g", specs[:1], specs[1:], kernels)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def search(folder: Path, left: float, floor: float = 0.0) -> tuple[Any, Any]:
    from mlopt.compress.prune.structured import Pruner
    from mlopt.passes.training.latency import LatencySearch

    model = built(folder / "model", CNN, IMAGE)
    context = Context(
        out=fresh(folder, "out"), target=Target(threads=1), objective=Objective.LATENCY, hardware=PLAIN_X86,
        samples=samples(folder / "few", IMAGE, 8), inputs=IMAGE, measuring=Clock(floor),  # type: ignore[arg-type]
    )  # fmt: skip
    pruner = Pruner(load_module(model), (torch.rand(2, 3, 16, 16),), Structure(round_to=1))
    return LatencySearch(load_module(model), pruner, left, context, written), pruner


def test_the_time_that_is_left_is_what_was_asked_for(tmp_path: Path) -> None:
    one, pruner = search(tmp_path, 0.5)
    notes: dict[str, Any] = {}
    ratio, pruner.how = one.found(notes)
    pruner.by(ratio)
    (share,) = one._shares({pruner.how.round_to: 0.0}, fresh(tmp_path, "again"), []).values()
    assert 0.4 < share <= 0.52
    assert notes["raced"][0]["ratio"] == 0.9


def test_coarser_widths_are_tried_too(tmp_path: Path) -> None:
    notes: dict[str, Any] = {}
    search(tmp_path, 0.5)[0].found(notes)
    assert {1, 2, 4} <= {each["round_to"] for each in notes["raced"]}


def test_what_cannot_become_so_fast_is_told(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="cannot be pruned so far") as caught:
        search(tmp_path, 0.5, floor=0.7)[0].found({})
    assert "of its time, at most pruned" in str(caught.value.problems[0].got)
