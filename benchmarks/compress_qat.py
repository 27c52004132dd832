"""What quantization-aware training wins back of the accuracy that INT8 in a harsh setting loses, on handwritten digits.

The setting is harsh on purpose: one scale for each weight and each activation, ranges of activations from the least and
the largest value seen, and in one of sixteen calibration samples a few pixels that are sixty times too bright, so that
most of the 256 codes stand for values that never occur. (With pixels twenty times too bright, this network loses
next to nothing.) For each seed the network of ``recipes/mnist_cnn.py`` is trained anew, converted as it is after
calibration (PTQ), and converted after training from these very ranges (QAT), by distillation from the FP32 network,
without labels. Accuracy is that of the files in ONNX Runtime on the 1,500 digits that are held out.

``python benchmarks/compress_qat.py`` prints the figures of three seeds.
"""

from __future__ import annotations

import copy
import importlib
import json
import statistics
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlopt.compress.distill.objective import Distillation, Weights
from mlopt.compress.distill.teacher import Module
from mlopt.compress.qat.biases import quantize_biases
from mlopt.compress.qat.fake_quantized import FakeQuantized
from mlopt.compress.qat.settings import FakeQuantization
from mlopt.compress.quantization.torch_static import trace
from mlopt.compress.train.loop import Hooks, train
from mlopt.compress.train.objectives import Classification
from mlopt.compress.train.settings import Training
from mlopt.data.dataset import Samples, store
from mlopt.data.loader import Loader, loader
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.module import Flat
from mlopt.passes.exporting.tracing import Task, dynamo, write

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
SEEDS = (0, 1, 2)
THREADS = 1
"""So small a network gains little from more, and on a busy machine they only wait."""
SPEC = TensorSpec("image", "float32", ("batch", 1, 28, 28))
ORIGINAL = {"epochs": 5, "learning_rate": 4e-3, "weight_decay": 0.05, "label_smoothing": 0.05}
QAT = {"epochs": 3, "learning_rate": 1e-3}
FREEZE = 0.5
CALIBRATION, OUTLIER_EVERY, OUTLIER_PIXELS, BRIGHTER = 256, 16, 4, 60.0
_FUSED = {"QLinearConv", "QLinearAdd", "QGemm", "QLinearMatMul"}


def measured(seed: int, folder: Path) -> dict[str, Any]:
    """Return the figures of one seed: accuracies in percent, the share recovered, and the operators that are fused."""
    digits, labels = _recipe().calibration()
    data = loader(
        store(Samples(digits, labels), folder / "digits", "mnist_5k"), [SPEC], batch_size=64, held_out=0.0, seed=seed
    )
    original = _original(seed, data)
    paths = {"fp32": _exported(original, folder / "fp32.onnx")}
    example = torch.from_numpy(digits["image"][:5].copy())
    graph = trace(Flat(copy.deepcopy(original.model), 1, ()), [SPEC], (example,))
    prepared = FakeQuantized(graph, FakeQuantization(per_channel=False))
    prepared.calibrate([(torch.from_numpy(_with_outliers(digits["image"], seed)),)])
    paths["ptq"] = _exported(Flat(prepared.converted(), 1, ()), folder / "ptq.onnx")
    objective = Distillation(Module(original, "the network"), Weights(alpha=1.0))
    freezing = Hooks(before=lambda share: prepared.freeze(share >= FREEZE))
    train(Flat(prepared, 1, ()), objective, data, _training(seed, QAT), hooks=freezing)
    paths["qat"] = _exported(Flat(prepared.converted(), 1, ()), folder / "qat.onnx")
    found = {name: _judged(path) for name, path in paths.items()}
    accuracy = {name: value for name, (value, _) in found.items()}
    lost = accuracy["fp32"] - accuracy["ptq"]
    recovered = (accuracy["qat"] - accuracy["ptq"]) / lost if lost > 0 else None
    return {
        "seed": seed, "accuracy": accuracy, "lost_pt": round(lost, 2), "recovered": recovered,
        "fused": {name: operators for name, (_, operators) in found.items()},
    }  # fmt: skip


def _recipe() -> Any:
    """Return the module of the recipe: the network, its digits, and how they are moved in training."""
    if str(RECIPES) not in sys.path:
        sys.path.append(str(RECIPES))
    return importlib.import_module("mnist_cnn")


def _training(seed: int, keys: dict[str, Any]) -> Training:
    return Training(**keys, held_out=0.0, threads=THREADS, device="cpu", seed=seed)


def _original(seed: int, data: Loader) -> Flat:
    """Return the network, trained from the weights that this seed gives."""
    recipe = _recipe()
    torch.manual_seed(seed)
    network = Flat(recipe.DigitNet(), 1, ())
    moved = Hooks(augment=lambda inputs: {"image": recipe.moved(inputs["image"])})
    train(network, Classification(ORIGINAL["label_smoothing"]), data, _training(seed, ORIGINAL), hooks=moved)
    return network


def _with_outliers(images: np.ndarray[Any, Any], seed: int) -> np.ndarray[Any, Any]:
    """Return calibration digits, a few pixels of some of which are far too bright."""
    random = np.random.default_rng(seed)
    chosen = images[random.choice(len(images), CALIBRATION, replace=False)].copy()
    for row in range(0, CALIBRATION, OUTLIER_EVERY):
        at = random.integers(0, 28, (2, OUTLIER_PIXELS))
        chosen[row, 0, at[0], at[1]] = BRIGHTER * images.max()
    return chosen


def _exported(module: Flat, path: Path) -> Path:
    example = torch.zeros(5, 1, 28, 28)
    task = Task(module, (SPEC,), (example,), ("logits",))
    graph = dynamo(task, 20)
    quantize_biases(graph)
    return write(graph, task, path)


def _judged(path: Path) -> tuple[float, dict[str, int]]:
    """Return the accuracy in percent, and how often ONNX Runtime computes with which integer operator."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = THREADS, 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images, labels = _recipe().evaluation()
    guesses = [session.run(None, {"image": part})[0].argmax(1) for part in np.array_split(images["image"], 6)]
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    fused = Counter(node.op_type for node in nodes if node.op_type in _FUSED)
    return round(100 * float((np.concatenate(guesses) == labels).mean()), 2), dict(sorted(fused.items()))


def main() -> None:
    """Print the figures of every seed, and the mean share that is recovered."""
    warnings.simplefilter("ignore")
    found = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(seed, Path(folder)))
        print(json.dumps(found[-1]))
    shares = [each["recovered"] for each in found]
    print(f"recovered, of what PTQ lost: {statistics.fmean(shares):.0%} in the mean, {min(shares):.0%} at least")


if __name__ == "__main__":
    main()
