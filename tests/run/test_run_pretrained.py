"""What a source of a Hugging Face folder is cached under: each file that makes it another model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopt.passes.table import table
from mlopt.recipe.load import parse
from mlopt.run.pretrained import pretrained_key

RECIPE = "apiVersion: mlopt/v1\nname: net\nmodel: {source: 'hf:./m'}\npasses: [export]\n"


@pytest.mark.parametrize(
    ("name", "counts"),
    [("config.json", True), ("model.safetensors", True), ("tokenizer_config.json", True), ("README.md", False)],
)
def test_a_change_of_what_it_is_made_of_makes_it_anew(tmp_path: Path, name: str, *, counts: bool) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    config = {"model_type": "bert", "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    recipe = parse(RECIPE, tmp_path / "net.yaml", passes=table()).recipe
    before = pretrained_key(recipe, folder, ())
    text = json.dumps(config | {"hidden_size": 8}) if name == "config.json" else "{}"
    (folder / name).write_text(text)
    assert (pretrained_key(recipe, folder, ()) != before) == counts
