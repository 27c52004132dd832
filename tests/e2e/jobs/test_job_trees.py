"""Job 4: scikit-learn and LightGBM, as their converters write them."""

from __future__ import annotations

import json

import pytest
from user_jobs import Job, fetched

pytest.importorskip("sklearn", reason="needs scikit-learn")

FOREST = """
import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

x, y = load_breast_cancer(return_X_y=True)
x = x.astype(np.float32)
model = RandomForestClassifier(30, random_state=0).fit(x[:300], y[:300])
with open("trees.onnx", "wb") as file:
    file.write(to_onnx(model, x[:1]).SerializeToString())
np.savez("x.npz", X=x[300:], labels=y[300:])
np.save("wanted.npy", model.predict_proba(x[300:]))
"""
BOOSTED = """
import numpy as np
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer

x, y = load_breast_cancer(return_X_y=True)
x = x.astype(np.float32)
model = LGBMClassifier(n_estimators=30, verbose=-1).fit(x[:300], y[:300])
converted = convert_lightgbm(model, initial_types=[("X", FloatTensorType([None, x.shape[1]]))], target_opset=15)
with open("trees.onnx", "wb") as file:
    file.write(converted.SerializeToString())
np.savez("x.npz", X=x[300:], labels=y[300:])
np.save("wanted.npy", model.predict_proba(x[300:]))
"""
ANSWERS = """
import mlopt, numpy as np
wanted = np.load("wanted.npy")
with mlopt.load("out") as session:
    found = session.run({"X": np.load("x.npz")["X"]})
(probabilities,) = [value for value in found.values() if value.ndim == 2]
assert np.abs(probabilities - wanted).max() < 1e-3  # converters write float32
"""


@pytest.mark.parametrize(
    ("script", "packages"), [(FOREST, ("skl2onnx",)), (BOOSTED, ("lightgbm", "onnxmltools", "skl2onnx"))],
    ids=["forest", "boosted"],
)  # fmt: skip
def test_trees_come_out_as_exact_as_they_went_in(job: Job, script: str, packages: tuple[str, ...]) -> None:
    fetched(job, *packages)
    job.writes(train_py=script, answers_py=ANSWERS)
    job.run("train.py")
    told = job.mlopt("optimize", "trees.onnx", "--data", "x.npz", "-o", "out", code=None)
    assert told.returncode in {0, 1, 3}, told.stderr
    assert "ZipMap" in told.stdout + told.stderr
    report = json.loads((job.folder / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["final"]["fidelity"]["cosine"] > 0.9999
    job.run("answers.py")
    shown = job.mlopt("inspect", "out").stdout
    assert "30 of" in shown, shown
    assert "0 ()" not in shown
