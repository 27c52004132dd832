"""Every four weights keep their two zeros: through training, export, simplify, INT8 of each kind, and fuse."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from pass_runs import applied, run_pass
from prunable_models import IMAGE, TOKENS, TRANSFORMER, built, samples
from quantization_models import FLOAT, write

from mlopt.data.dataset import Array
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.two_of_four import two_of_four
from mlopt.formats.torch.model import load_module, open_torch
from mlopt.passes import export, fuse, prune, quantize, simplify
from mlopt.passes.base import Pass, PassResult

pytestmark = pytest.mark.heavy

TRAIN = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "threads": 1}


def convolutions(seed: int) -> str:
    """Return Python of a random network: convolutions, some in groups, with norms, and linear layers."""
    random, width, lines = Random(seed), 8, ["nn.Conv2d(3, 8, 3, padding=1)", "nn.ReLU()"]
    for _ in range(random.randint(1, 3)):
        new, groups = 4 * random.randint(2, 6), random.choice([g for g in (1, 2, 4) if width % (4 * g) == 0])
        new = new // groups * groups
        lines.append(f"nn.Conv2d({width}, {new}, {random.choice((1, 3))}, padding='same', groups={groups}, "
                     f"bias={random.random() < 0.5})")  # fmt: skip
        lines += [f"nn.BatchNorm2d({new})"] * (random.random() < 0.7) + ["nn.ReLU()"]
        width = new
    lines += ["nn.AdaptiveAvgPool2d(1)", "nn.Flatten()", f"nn.Linear({width}, 16)", "nn.ReLU()", "nn.Linear(16, 4)"]
    body = ", ".join(lines)
    return (
        f"from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.body = nn.Sequential({body})\n    def forward(self, image):\n        return self.body(image)\n"
        "def build():\n    torch.manual_seed(0)\n    return Net()\n"
    )


def made(folder: Path, what: str, seed: int) -> Model:
    return built(folder, TRANSFORMER, TOKENS) if what == "attention" else built(folder, convolutions(seed), IMAGE)


def kept(path: Path) -> dict[str, bool]:
    return two_of_four(read_graph(path).graph, path.parent)


def broken(model: torch.nn.Module) -> list[str]:
    found = []
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear) and weight.shape[1] % 4 == 0:
            fours = weight.detach().movedim(1, -1).reshape(-1, 4)
            found += [] if ((fours == 0).sum(1) >= 2).all() else [name]
    return found


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("what", "seed"), [
    ("conv", 0), ("attention", 0), *(pytest.param("conv", seed, marks=pytest.mark.slow) for seed in (1, 2, 3)),
])  # fmt: skip
def test_through_the_whole_chain(tmp_path: Path, what: str, seed: int, trained: bool) -> None:
    model = made(tmp_path, what, seed)
    few = dict(samples(tmp_path / "few", model.inputs, 16, seed=1).inputs)
    more: dict[str, Any] = {"train": samples(tmp_path / "train", model.inputs), "samples": few, "inputs": model.inputs}

    def through(pass_: Pass[Any], source: Model, config: dict[str, Any]) -> Path:
        return applied(run_pass(pass_, source, config, tmp_path, calibration=few, **more)).path

    pruned = open_torch(through(prune.PASS, model, {"pattern": "2:4"} | ({"train": TRAIN} if trained else {})))
    assert broken(load_module(pruned).model) == []
    exported = through(export.PASS, pruned, {})
    simple = through(simplify.PASS, open_onnx(exported), {})
    paths = {"export": exported, "simplify": simple}
    for mode in ("static", "dynamic"):
        result = run_pass(quantize.PASS, open_onnx(simple), {"mode": mode}, tmp_path, calibration=few, **more)
        if mode == "static" or what == "attention":
            paths[mode] = applied(result).path
            paths[f"{mode}, fused"] = through(fuse.PASS, open_onnx(paths[mode]), {})
    found = {name: kept(path) for name, path in paths.items()}
    assert len(found["export"]) >= 3
    for name, each in found.items():
        assert set(each.values()) == {True}, (name, each)
        assert len(each) == len(found["export" if name == "export" else "simplify"]), (name, each)
    assert len(found["simplify"]) >= len(found["export"]) - 4, "queries, keys and values of each block are one product"


def masked(weight: Array, axis: int) -> Array:
    moved = np.moveaxis(weight, axis, -1)
    fours = np.ascontiguousarray(moved).reshape(-1, 4)
    np.put_along_axis(fours, np.abs(fours).argsort(axis=1)[:, :2], 0, axis=1)
    return np.ascontiguousarray(np.moveaxis(fours.reshape(moved.shape), -1, axis))


def mixed(path: Path, rng: np.random.Generator, dense: str = "") -> Path:
    """A graph with each kind of weight, in 2:4 but for one, of which one weight in one place is set.

    They are skewed and of unlike sizes.
    """
    sizes = {"plain": (8, 8, 3, 3), "grouped": (16, 4, 1, 1), "right": (16, 8), "turned": (12, 8), "free": (12, 4)}
    axes = {"plain": 1, "grouped": 1, "right": 0, "turned": 1, "free": 0}
    weights = {
        name: masked((rng.normal(rng.normal(), 1, size) * 10 ** rng.uniform(-3, 2)).astype(np.float32), axes[name])
        for name, size in sizes.items()
    }
    if dense:
        at = np.unravel_index((weights[dense] == 0).argmax(), weights[dense].shape)
        weights[dense][at] = np.abs(weights[dense]).max()
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "plain", "bias"], ["a"], name="plain", pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "grouped"], ["c"], name="grouped", group=2), node("Relu", ["c"], ["d"]),
        node("GlobalAveragePool", ["d"], ["e"]), node("Flatten", ["e"], ["f"]),
        node("Gemm", ["f", "right"], ["g"], name="right"), node("Relu", ["g"], ["h"]),
        node("Gemm", ["h", "turned"], ["i"], name="turned", transB=1), node("Relu", ["i"], ["j"]),
        node("MatMul", ["j", "free"], ["y"], name="free"),
    ]  # fmt: skip
    weights["bias"] = rng.normal(size=8).astype(np.float32)
    return write(path, nodes, weights, [("image", FLOAT, ["n", 8, 6, 6])], [("y", FLOAT, ["n", 4])])


CONFIGS: list[dict[str, Any]] = [
    {"mode": "static", "scheme": scheme, "per_channel": per_channel}
    for scheme in ("u8s8", "s8s8", "u8u8") for per_channel in (True, False)
] + [
    {"mode": "static", "reduce_range": True}, {"mode": "static", "placement": "tensorrt"},
    {"mode": "dynamic"}, {"mode": "dynamic", "portable": True}, {"mode": "dynamic", "per_channel": False},
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_in_every_way_of_writing_int8(tmp_path: Path, config: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = {"image": rng.normal(size=(16, 8, 6, 6)).astype(np.float32)}
    model = mixed(tmp_path / "m.onnx", rng)
    before = kept(model)
    assert before == dict.fromkeys(("plain", "grouped", "right", "turned", "free"), True)
    result = applied(run_pass(quantize.PASS, model, config, tmp_path, calibration=images))
    assert list(kept(result.path).values()) == [True] * 5
    fused = run_pass(fuse.PASS, result.path, {}, tmp_path)
    if isinstance(fused, PassResult):
        assert list(kept(fused.path).values()) == [True] * 5


@pytest.mark.parametrize("dense", ["plain", "grouped", "right", "turned", "free"])
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_weight_too_many_is_seen(tmp_path: Path, dense: str, mode: str) -> None:
    rng = np.random.default_rng(7)
    images = {"image": rng.normal(size=(16, 8, 6, 6)).astype(np.float32)}
    model = mixed(tmp_path / "m.onnx", rng, dense)
    assert [name for name, holds in kept(model).items() if not holds] == [dense]
    result = applied(run_pass(quantize.PASS, model, {"mode": mode}, tmp_path, calibration=images))
    assert sum(not holds for holds in kept(result.path).values()) == 1
