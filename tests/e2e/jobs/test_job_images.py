"""Job 2: a classifier of pictures, and a folder of pictures in a folder for each class."""

from __future__ import annotations

import json

import pytest
from user_jobs import Job

pytest.importorskip("PIL", reason="needs the extra `data`")

PICTURES = """
import pathlib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

random = np.random.default_rng(0)
for number, colour in enumerate(("blue", "green", "red")):
    folder = pathlib.Path("pictures") / colour
    folder.mkdir(parents=True)
    for each in range(40):
        pixels = random.integers(0, 90, (40, 48, 3))
        pixels[..., 2 - number] += 120
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{each}.png")

weights = {
    "w": random.standard_normal((16, 3, 3, 3)) * 0.02, "b": np.zeros(16), "v": np.zeros((16, 3)), "c": np.zeros(3),
}
for number in range(3):  # the first three channels see one colour each
    weights["w"][number] = 0
    weights["w"][number, 2 - number] = 0.1
    weights["v"][number, number] = 1
nodes = [
    helper.make_node("Conv", ["image", "w", "b"], ["h"], "conv", kernel_shape=[3, 3]),
    helper.make_node("Relu", ["h"], ["r"], "relu"),
    helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
    helper.make_node("Flatten", ["p"], ["f"], "flat"),
    helper.make_node("Gemm", ["f", "v", "c"], ["logits"], "head"),
]
graph = helper.make_graph(
    nodes, "colours", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
    [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "colours.onnx")
"""


def test_a_folder_of_pictures_is_data_with_labels(job: Job) -> None:
    """The classes are the folders, so accuracy can be judged, and is right."""
    job.writes(pictures_py=PICTURES)
    job.run("pictures.py")
    job.mlopt("plan", "colours.onnx", "--data", "pictures")
    told = job.mlopt("optimize", "colours.onnx", "--data", "pictures", "-o", "out", code=None)
    assert told.returncode in {0, 1, 3}, told.stderr
    report = json.loads((job.folder / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["data"]["evaluation"]["samples"] > 50, report["data"]
    assert report["baseline"]["accuracy"]["value"] > 0.95
    assert report["final"]["accuracy"]["value"] > 0.9
    (recipe,) = job.folder.glob("out.yaml")
    job.mlopt("recipe", "check", recipe)
