"""The recipe that is made for a Hugging Face folder: its metric, its inputs, and data as its files read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pretrained_folders import save_lines, save_pictures, save_tokenizer

from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.pretrained import Pretrained
from mlopt.passes.base import Pass
from mlopt.recipe.load import Loaded, parse
from mlopt.recipe.pretrained import draft_for_pretrained

Passes = dict[str, Pass[Any]]
IDS = tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in ("input_ids", "attention_mask"))
PIXELS = (TensorSpec("pixel_values", "float32", ("batch", 3, 16, 16)),)
NAMED = {"id2label": {"0": "pos", "1": "neg"}}


def made(found: Pretrained, inputs: tuple[TensorSpec, ...], data: Path | None, passes: Passes) -> Loaded:
    (found.folder / "config.json").parent.mkdir(exist_ok=True)
    path = found.folder.parent / "recipes" / "net.yaml"
    path.parent.mkdir(exist_ok=True)
    return parse(draft_for_pretrained(found, inputs, data).text(path), path, passes=passes)


@pytest.mark.parametrize(
    ("task", "output", "metric"),
    [
        ("text classification", "logits", "agreement"), ("token classification", "logits", "agreement"),
        ("image classification", "logits", "agreement"), ("embeddings", "last_hidden_state", "fidelity"),
    ],
)  # fmt: skip
def test_the_task_says_how_it_is_judged(tmp_path: Path, passes: Passes, task: str, output: str, metric: str) -> None:
    recipe = made(Pretrained(tmp_path / "m", "X", task, {}), IDS, None, passes).recipe
    assert (recipe.name, recipe.model.source, recipe.metric.name) == ("m", "hf:../m", metric)
    assert (recipe.model.specs, recipe.model.outputs) == (IDS, (output,))
    assert [step.name for step in recipe.passes] == ["export", "simplify", "fuse"]


def test_texts_are_read_with_the_folders_tokenizer_and_labels_with_its_numbers(tmp_path: Path, passes: Passes) -> None:
    pytest.importorskip("transformers")
    save_tokenizer(tmp_path / "m")
    found = Pretrained(tmp_path / "m", "X", "text classification", NAMED)
    recipe = made(found, IDS, save_lines(tmp_path / "x.jsonl"), passes).recipe
    assert recipe.metric.name == "accuracy"
    assert recipe.data.evaluation is not None
    assert recipe.data.evaluation.classes == ("pos", "neg")
    text = recipe.data.evaluation.text
    assert text is not None
    assert (text.tokenizer, text.label, text.max_length, text.padding) == (
        "../m/tokenizer.json",
        "label",
        32,
        "longest",
    )
    assert [step.name for step in recipe.passes] == ["export", "simplify", "quantize", "fuse"]


def test_of_tokens_a_label_a_text_says_nothing(tmp_path: Path, passes: Passes) -> None:
    pytest.importorskip("transformers")
    save_tokenizer(tmp_path / "m")
    found = Pretrained(tmp_path / "m", "X", "token classification", NAMED)
    recipe = made(found, IDS, save_lines(tmp_path / "x.jsonl"), passes).recipe
    assert recipe.metric.name == "agreement"
    assert recipe.data.evaluation is not None
    assert not recipe.data.evaluation.names_labels
    assert recipe.data.evaluation.classes == ()


def test_pictures_are_scaled_as_the_folders_preprocessor_has_it(tmp_path: Path, passes: Passes) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "m").mkdir()
    told = {"size": {"shortest_edge": 18}, "crop_size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3]}
    (tmp_path / "m" / "preprocessor_config.json").write_text(json.dumps(told))
    found = Pretrained(
        tmp_path / "m", "X", "image classification", {"id2label": dict(enumerate(["owl", "dog", "cat"]))}
    )
    recipe = made(found, PIXELS, save_pictures(tmp_path / "x"), passes).recipe
    assert recipe.data.evaluation is not None
    image = recipe.data.evaluation.image
    assert (image.size, image.resize, image.mean, image.std) == ((16, 16), 18, (0.5, 0.4, 0.3), (1.0,))
    assert recipe.data.evaluation.classes == ("owl", "dog", "cat")
    assert recipe.metric.name == "accuracy"
