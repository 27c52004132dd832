"""What ``--data`` names, in the keys of a recipe: from the file, the model's input, and what lies beside the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import DataError
from mlopt.formats.model import TensorSpec
from mlopt.recipe.given_data import described

IDS = (TensorSpec("input_ids", "int64", ("batch", "sequence")),)


def image(*shape: int | str, dtype: str = "float32") -> tuple[TensorSpec, ...]:
    return (TensorSpec("x", dtype, shape),)


@pytest.mark.parametrize(
    ("inputs", "keys"),
    [
        (image("n", 3, 16, 16), {}),
        (image("n", 16, 16, 3), {"layout": "nhwc"}),
        (image("n", 1, 28, 28), {"color": "gray"}),
        (image("n", 28, 28, 1), {"layout": "nhwc", "color": "gray"}),
        (image("n", 16, 16, 3, dtype="uint8"), {"layout": "nhwc", "dtype": "uint8"}),
        (image("n", "c", "h", "w"), {}),
        (image(3, 3, 3, 3), {}),
        (image("n", 10), {}),
    ],
)
def test_the_input_says_how_images_lie(tmp_path: Path, inputs: tuple[TensorSpec, ...], keys: dict[str, Any]) -> None:
    given = described(tmp_path, inputs, tmp_path)
    assert given.keys == {"image": keys}
    assert bool(given.said) == (keys.get("dtype") != "uint8")  # what 0..1 assumes is said


@pytest.mark.parametrize(
    ("told", "keys"),
    [
        ({"size": {"height": 8, "width": 9}}, {"size": [8, 9]}),
        ({"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}, {"size": [16, 16], "resize": 20}),
        ({"do_rescale": False}, {"scale": 1.0}),
        ({"rescale_factor": 0.5}, {"scale": 0.5}),
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 2]}, {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 2.0]}),
        ({"image_mean": [0.1, 0.2, 0.3], "do_normalize": False}, {}),
    ],
)
def test_the_preprocessor_beside_the_model_says_the_rest(
    tmp_path: Path, told: dict[str, Any], keys: dict[str, Any]
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "X"} | told))
    assert described(tmp_path, image("n", 3, 16, 16), tmp_path).keys == {"image": keys}


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ({"text": "a"}, {}),
        ({"sentence": "a", "label": 1}, {"field": "sentence", "label": "label"}),
        ({"sentence1": "a", "sentence2": "b"}, {"field": "sentence1", "pair": "sentence2"}),
        ({"body": "a", "class": "spam"}, {"field": "body", "label": "class"}),
        ({"text": "a", "label": [1]}, {}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("place", ["model", "data"])
def test_the_first_line_says_what_is_text(
    tmp_path: Path, row: dict[str, Any], keys: dict[str, Any], place: str
) -> None:
    for name in ("model", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / place / "tokenizer.json").touch()
    (tmp_path / "data" / "x.jsonl").write_text(f"\n{json.dumps(row)}\n")
    given = described(tmp_path / "data" / "x.jsonl", IDS, tmp_path / "model")
    assert given.tokenizer == tmp_path / place / "tokenizer.json"
    assert given.keys == {"text": keys | {"max_length": 128}}


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({"tokenizer_config.json": {"model_max_length": 64}}, 64),
        ({"config.json": {"max_position_embeddings": 40}, "tokenizer_config.json": {"model_max_length": 1e30}}, 40),
        ({"sentence_bert_config.json": {"max_seq_length": 256}}, 128),
    ],
)
def test_no_more_tokens_than_the_model_takes(tmp_path: Path, files: dict[str, Any], length: int) -> None:
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert described(tmp_path / "x.jsonl", IDS, tmp_path).keys["text"]["max_length"] == length
    fixed = (TensorSpec("input_ids", "int64", ("batch", 12)),)
    text = described(tmp_path / "x.jsonl", fixed, tmp_path, fixed=False).keys["text"]
    assert text == {"max_length": 12}


def test_text_without_a_tokenizer_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match="none beside the model or the data") as caught:
        described(tmp_path / "x.jsonl", IDS, tmp_path / "model")
    assert caught.value.problems[0].expected == f"{tmp_path}/model/tokenizer.json or {tmp_path}/tokenizer.json"


def test_names_of_classes_are_given_where_labels_are_names(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").touch()
    for label, named in (("good", True), (1, False)):
        (tmp_path / "x.jsonl").write_text(json.dumps({"text": "a", "label": label}))
        keys = described(tmp_path / "x.jsonl", IDS, tmp_path, classes=("bad", "good")).keys
        assert ("classes" in keys) == named


@pytest.mark.parametrize("name", ["x.npz", "x.jsonl"])
def test_data_that_is_not_there(tmp_path: Path, name: str) -> None:
    if name == "x.npz":
        with pytest.raises(DataError, match="the data does not exist"):
            described(tmp_path / "nowhere", IDS, tmp_path)
        assert described(tmp_path / name, IDS, tmp_path).keys == {}  # its reader says what is wrong
        return
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(DataError, match="the data does not exist"):
        described(tmp_path / name, IDS, tmp_path)
