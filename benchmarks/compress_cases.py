"""The cases of the benchmark of pruning and distillation: each runs recipes, and returns what is stored of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import compress_qat
import numpy as np
import onnx
from compress_runs import AFTERWARDS, KEPT, PLACE, ROOT, Done, optimized, passes_of
from safetensors.numpy import load_file

from mlopt.formats.onnx import two_of_four as patterns
from mlopt.measure.intervals import paired_drop

SEEDS = (0, 1, 2)
THREADS = (2, 1)
LEFT = {0.5: SEEDS[:1], 0.25: SEEDS}
"""Shares of the MACs in the front of importances, and the seeds to train with."""
IMPORTANCES = ("magnitude", "taylor", "random")
FRONT_TRAINING: dict[str, Any] = {
    "epochs": 1, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.0005,
    "precision": "bfloat16", "channels_last": True, "augment": "./fashion_resnet.py:augmented",
}  # fmt: skip
NORMS_ALONE = {**FRONT_TRAINING, "minutes": 0.1, "learning_rate": 1e-9}
"""Nothing is learnt, but batch norms see what is left of the channels before them: without it nearly all is chance."""
SHORT = "measure.seconds=1"


def fashion_resnet() -> dict[str, Any]:
    """Pruned and taught; with INT8 on top; on as many threads as the recipe says, and on one."""
    recipe, runs = "fashion_resnet_pruned", []
    without = [each for each in passes_of(recipe) if "quantize" not in each]
    for threads in THREADS:
        for title, passes in (("prune, distill", without), ("prune, distill, quantize", None)):
            name = f"fashion_resnet_{threads}_{'whole' if passes is None else 'fp32'}"
            done = optimized(recipe, name, passes, f"target.threads={threads}")
            macs = done.notes("prune")["macs"]
            quantized = any(step.name == "quantize" and step.status in KEPT for step in done.report.steps)
            runs.append({"threads": threads, "title": title, "quantized": quantized, "macs": macs, **done.figures()})
    return {"runs": runs}


def front() -> dict[str, Any]:
    """Return accuracy and time by importance and share of MACs, before and after a little training."""
    return {"epochs": FRONT_TRAINING["epochs"], "points": list(_points())}


def _points() -> Iterator[dict[str, Any]]:
    for importance, (left, seeds), trained in product(IMPORTANCES, LEFT.items(), (False, True)):
        for seed in seeds:
            training = {**(FRONT_TRAINING if trained else NORMS_ALONE), "seed": seed}
            pruning = {"macs": left, "importance": importance, "train": training}
            name = f"front_{importance}_{left}_{seed}_{'trained' if trained else 'raw'}"
            done = optimized("fashion_resnet", name, [{"prune": pruning}, *AFTERWARDS], SHORT, judged=False)
            macs = done.notes("prune")["macs"]
            yield {
                "importance": importance, "left": left, "seed": seed, "trained": trained, "macs": macs,
                **done.figures(),
            }  # fmt: skip


def latency_target() -> dict[str, Any]:
    """Ask for half of the time, and measure what is left."""
    pruning = {"latency": 0.5, "importance": "magnitude"}
    done = optimized("fashion_resnet", "latency_target", [{"prune": pruning}, *AFTERWARDS], judged=False)
    notes, found = done.notes("prune"), done.figures()
    middle, (low, high) = found["speedup"]["median"], found["speedup"]["ci95"]
    share = {"median": 1 / middle, "ci95": [1 / high, 1 / low]}
    return found | {"asked": 0.5, "left": share, "macs": notes["macs"], "raced": notes["steps"][0]["raced"]}


def mnist_cnn_tiny() -> dict[str, Any]:
    """Compare the student with a teacher and without one, with all else the same, on three seeds."""
    import mnist_cnn_tiny as recipe

    inputs, labels = recipe.evaluation()
    seeds = []
    for seed in SEEDS:
        own = f"passes.distill.train.seed={seed}"
        taught = optimized("mnist_cnn_tiny", f"tiny_taught_{seed}", None, own)
        alone = optimized("mnist_cnn_tiny", f"tiny_alone_{seed}", None, own, "passes.distill.alpha=0", judged=False)
        right = [done.outputs(inputs).argmax(1) == labels for done in (taught, alone)]
        gain = paired_drop(*(each.astype(np.float64) for each in right), vs="alone")
        seeds.append({
            "seed": seed, "taught": taught.figures(), "alone": alone.figures(),
            "gain_pt": {"value": gain.pt, "ci95": list(gain.ci95), "n": gain.n},
        })  # fmt: skip
    return {"seeds": seeds}


def minilm_small() -> dict[str, Any]:
    """Run the recipe, and hold the student's idea of what is near against its teacher's."""
    import minilm_small as recipe
    import torch
    from minilm import build
    from scipy.stats import spearmanr

    done = optimized("minilm_small", "minilm_small")
    inputs = recipe.evaluation()
    with torch.no_grad():
        parts = zip(*(torch.from_numpy(array).split(100) for array in inputs.values()), strict=True)
        teacher = torch.cat([build()(*part) for part in parts]).numpy()
    student = done.outputs(inputs)
    above = np.triu_indices(len(student), 1)
    ranks = spearmanr((student @ student.T)[above], (teacher @ teacher.T)[above]).statistic
    return done.figures() | {"spearman": float(ranks), "overlap": done.figures()["score"][1], "n": len(student)}


def two_of_four() -> dict[str, Any]:
    """Look for the pattern where it was made, in the exported model, and in the quantized one."""
    recipe = "fashion_resnet_2of4"
    done = optimized(recipe, "two_of_four")
    plain = optimized(recipe, "two_of_four_fp32", passes_of(recipe)[:3], SHORT, judged=False)
    places = {"PyTorch": in_torch(done.path), "ONNX": in_onnx(plain.path), "ONNX, INT8": in_onnx(done.path)}
    return done.figures() | {"weights": places}


def in_torch(artifact: Path) -> dict[str, bool]:
    """Return for each weight that can have the pattern whether it has it, of the PyTorch model in an artifact."""
    every = load_file(artifact / "torch" / "weights.safetensors")
    able = {name: value for name, value in every.items() if value.ndim > 1 and value.shape[1] % 4 == 0}
    zeros = {name: (np.moveaxis(value, 1, -1).reshape(-1, 4) == 0).sum(1) for name, value in able.items()}
    return {name: bool((each >= 2).all()) for name, each in zeros.items()}


def in_onnx(artifact: Path) -> dict[str, bool]:
    """Return the same of the model that an artifact ships."""
    return patterns.two_of_four(onnx.load(artifact / "model.onnx").graph, artifact)


def qat() -> dict[str, Any]:
    """Return what quantization-aware training wins back of what a harsh quantization loses."""
    folder = PLACE / "qat"
    folder.mkdir(exist_ok=True)
    return {"seeds": [{"seed": seed, **compress_qat.measured(seed, folder / str(seed))} for seed in SEEDS]}


def mixed() -> dict[str, Any]:
    """Prune a network that nobody prepared, and train it, on three seeds."""
    seeds = []
    for seed in SEEDS:
        pruning = {"macs": 0.6, "train": {"epochs": 6, "learning_rate": 0.003, "seed": seed}}
        done: Done = optimized(
            "mnist_cnn", f"mixed_{seed}", [{"prune": pruning}, *AFTERWARDS],
            f"model.source={ROOT / 'benchmarks/compress_mixed.py'}:build",
            "data.train.source=./mnist_cnn.py:calibration", judged=False,
        )  # fmt: skip
        notes = done.notes("prune")
        seeds.append({"seed": seed, **done.figures(), "macs": notes["macs"], "whole": notes["steps"][0]["whole"]})
    return {"seeds": seeds}


CASES: Mapping[str, Callable[[], dict[str, Any]]] = {
    case.__name__: case
    for case in (fashion_resnet, front, latency_target, mnist_cnn_tiny, minilm_small, two_of_four, qat, mixed)
}
