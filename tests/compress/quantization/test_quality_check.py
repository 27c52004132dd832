"""Judging quantized models by samples that were held back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import helper, numpy_helper, save
from quantization_models import FLOAT, cnn, random, write

from mlopt.compress.quantization.quality_check import QualityCheck, hold_back, score_by
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.gate.allowance import budget_of
from mlopt.results.budget import Budget


def dataset(folder: Path, count: int, labels: bool = False) -> Dataset:
    given = np.arange(count) % 5 if labels else None
    return store(Samples({"image": random(count, 3, 8, 8, seed=count)}, given), folder, "data")


def damaged(model: Path, path: Path, factor: float) -> Path:
    """The model with its last weights scaled: classes stay, or all go to one."""
    proto = read_graph(model)
    tensor = next(t for t in proto.graph.initializer if t.name == "b3")
    values = numpy_helper.to_array(tensor).copy()
    values[0] += factor
    tensor.CopyFrom(numpy_helper.from_array(values, "b3"))
    save(proto, path)
    return path


def judge(model: Path, data: Dataset, budget: Budget) -> QualityCheck:
    return QualityCheck(in_runtime(open_onnx(model)), data, budget, batch_size=1, score=score_by(budget))


def test_samples_are_held_back_once(tmp_path: Path) -> None:
    data = dataset(tmp_path / "all", 30, labels=True)
    calibration, judging = hold_back(data, tmp_path)
    assert (calibration.count, judging.count) == (20, 10)
    assert not set(calibration.sample_digests) & set(judging.sample_digests)
    assert calibration.labels is not None
    for part in (calibration, judging):  # each sample keeps its label
        rows = [data.sample_digests.index(digest) for digest in part.sample_digests]
        assert part.labels is not None
        assert data.labels is not None
        np.testing.assert_array_equal(part.labels, data.labels[rows])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_samples_serve_both(tmp_path: Path, count: int) -> None:
    calibration, judging = hold_back(dataset(tmp_path / "all", count), tmp_path)
    assert calibration.count >= 1
    assert judging.count == 1


def test_a_cosine_on_few_samples_needs_a_margin(tmp_path: Path) -> None:
    """Their mean keeps the limit, and the part of the budget that is left alone; other samples may not."""
    model = cnn(tmp_path / "m.onnx")
    worse = damaged(model, tmp_path / "worse.onnx", 2.0)
    images = random(3, 3, 8, 8) * np.float32([0.1, 1, 20]).reshape(3, 1, 1, 1)  # which the damage meets unequally
    for times, kept in ((1, False), (100, True)):
        data = store(Samples({"image": np.repeat(images, times, axis=0)}, None), tmp_path / str(times), "data")
        mean = judge(model, data, Budget(cosine=-1.0)).quality(worse).cosine
        found = judge(model, data, Budget(cosine=1 - (1 - mean) / 0.89)).quality(worse)
        assert found.objection is None if kept else "on 3 samples may be" in str(found.objection)


def test_the_cosine(tmp_path: Path) -> None:
    model, data = cnn(tmp_path / "m.onnx"), dataset(tmp_path / "d", 12)
    assert judge(model, data, Budget()).quality(model).objection is None
    worse = judge(model, data, Budget()).quality(damaged(model, tmp_path / "w.onnx", 30.0))
    assert worse.objection == f"cosine {worse.cosine:.4f} is below 0.991"  # a part of the budget is kept
    assert worse.noise > 0.1


def test_the_metric(tmp_path: Path) -> None:
    model, labelled = cnn(tmp_path / "m.onnx"), dataset(tmp_path / "d", 20, labels=True)
    wrong = damaged(model, tmp_path / "w.onnx", 30.0)
    agreement = judge(model, labelled, Budget(cosine=-1.0, value=0.95, metric="agreement")).quality(wrong)
    assert "agreement" in str(agreement.objection)
    assert "is below 0.95" in str(agreement.objection)
    drop = Budget(cosine=-1.0, drop_pt=200.0, metric="accuracy")
    assert judge(model, labelled, drop).quality(wrong).objection is None


def test_agreement_stands_in_for_accuracy_without_labels(tmp_path: Path) -> None:
    model, data = cnn(tmp_path / "m.onnx"), dataset(tmp_path / "d", 20)
    wrong = damaged(model, tmp_path / "w.onnx", 30.0)
    quality = judge(model, data, Budget(cosine=-1.0, drop_pt=1.0, metric="accuracy")).quality(wrong)
    assert str(quality.objection).startswith("agreement")


def test_a_metric_that_cannot_be_computed_is_told(tmp_path: Path) -> None:
    model, data = cnn(tmp_path / "m.onnx"), dataset(tmp_path / "d", 6)
    code = tmp_path / "metric.py"
    code.write_text("import numpy as np\ndef m(outputs, labels, reference):\n    return np.full(6, np.nan)\n")
    found = judge(model, data, Budget(value=0.5, metric="./metric.py:m", base=tmp_path))
    assert found.quality(model).objection is None
    assert str(found.remark).startswith("./metric.py:m cannot be judged on calibration samples")


def test_limits_on_the_error_itself(tmp_path: Path) -> None:
    model, data = cnn(tmp_path / "m.onnx"), dataset(tmp_path / "d", 12)
    worse = damaged(model, tmp_path / "w.onnx", 0.5)
    found = judge(model, data, Budget(cosine=-1.0)).quality(worse)
    assert found.objection is None
    assert found.sqnr_db is not None
    for limit, told in ((found.sqnr_db - 1, None), (found.sqnr_db - 0.1, "SQNR"), (found.sqnr_db + 5, "SQNR")):
        said = judge(model, data, Budget(cosine=-1.0, sqnr_db=limit)).quality(worse).objection
        assert (said is None) == (told is None), said  # a part of the noise that is allowed is kept in hand
    assert judge(model, data, Budget(cosine=-1.0, max_abs=0.6)).quality(worse).objection is None
    said = judge(model, data, Budget(cosine=-1.0, max_abs=0.4)).quality(worse).objection
    assert said == "a value differs by 0.5, more than 0.4"


def test_a_version_that_answers_in_other_sizes_is_no_good_and_no_error(tmp_path: Path) -> None:
    """How many values are beyond a threshold differs from sample to sample."""
    nodes = [helper.make_node("Sub", ["x", "by"], ["s"]), helper.make_node("Relu", ["s"], ["r"]),
             helper.make_node("NonZero", ["r"], ["y"])]  # fmt: skip
    ports = [("x", FLOAT, ["n", 4])], [("y", 7, [2, "k"])]
    paths = [write(tmp_path / f"{by}.onnx", nodes, {"by": np.float32(by).reshape(())}, *ports) for by in (0, 1)]
    x = np.float32([[0.5, 2, 2, 2], [2, 2, 2, 2]])
    data = store(Samples({"x": x}), tmp_path / "d", "data")
    found = judge(paths[0], data, Budget())
    assert found.quality(paths[0]).objection is None
    quality = found.quality(paths[1])
    assert quality.cosine == 0.5  # one of two samples has as many as before
    assert str(quality.objection).startswith("cosine 0.5000 is below")


def test_outputs_of_the_wrong_size_are_no_good(tmp_path: Path) -> None:
    """A cosine of 1 says nothing of size; the limits are those of a recipe that limits the cosine alone."""
    budget = budget_of((), "fidelity", tmp_path)
    model, data = cnn(tmp_path / "m.onnx"), dataset(tmp_path / "d", 12)
    for times, told in (
        (1.02, None),
        (1.1, "scale or offset are off by 0.1 of the outputs"),
        (3000.0, "SQNR -69.5 dB"),
    ):
        said = judge(model, data, budget).quality(scaled(model, tmp_path / "s.onnx", times)).objection
        assert said is None if told is None else told in str(said)


def scaled(model: Path, path: Path, times: float) -> Path:
    """Save the model with its outputs so many times as large."""
    proto = onnx.load(model)
    name = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["before" if each == name else each for each in node.output]
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(times), "times"))
    proto.graph.node.append(onnx.helper.make_node("Mul", ["before", "times"], [name]))
    onnx.save(proto, path)
    return path
