"""What a Hugging Face folder says of itself, and what is refused before anything of it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.torch.pretrained import folder_of, is_pretrained, read_pretrained

BERT = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}


def folder(path: Path, config: Any, *, weights: str = "model.safetensors") -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    (path / weights).touch()
    return path


@pytest.mark.parametrize(
    ("architecture", "task", "output"),
    [
        ("BertForSequenceClassification", "text classification", "logits"),
        ("XLMRobertaForTokenClassification", "token classification", "logits"),
        ("ViTForImageClassification", "image classification", "logits"),
        ("MPNetModel", "embeddings", "last_hidden_state"),
    ],
)
def test_the_task_follows_from_the_architecture(tmp_path: Path, architecture: str, task: str, output: str) -> None:
    found = read_pretrained(folder(tmp_path, BERT | {"architectures": [architecture]}))
    assert (found.architecture, found.task, found.output) == (architecture, task, output)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (BERT | {"auto_map": {"AutoModel": "modeling.MyModel"}}, "brings Python of its own"),
        (BERT | {"vision_config": {"auto_map": {"AutoConfig": "x.Y"}}}, "brings Python of its own"),
        (BERT | {"quantization_config": {}}, "quantized already"),
        (BERT | {"architectures": ["GPT2LMHeadModel"]}, "no recipe for this architecture"),
        (BERT | {"architectures": ["os.system; Model"]}, "no recipe for this architecture"),
        (BERT | {"architectures": [["BertModel"]]}, "no recipe for this architecture"),
        (BERT | {"architectures": None}, "no recipe for this architecture"),
        (BERT | {"architectures": ["T5Model"], "is_encoder_decoder": True}, "an encoder and a decoder"),
        ("[]", "no JSON object"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_not_loaded_says_why(tmp_path: Path, config: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_pretrained(folder(tmp_path, config))


def test_a_pickle_is_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a pickle can run any code"):
        read_pretrained(folder(tmp_path, BERT, weights="pytorch_model.bin"))


@pytest.mark.parametrize(
    ("named", "classes"),
    [
        ({"1": "pos", "0": "neg"}, ("neg", "pos")), ({"0": "neg", "2": "pos"}, ()), ({"x": "neg"}, ()), (None, ()),
        (["neg"], ()), ({"0": "LABEL_0", "1": "LABEL_1"}, ()),
    ],
)  # fmt: skip
def test_classes_are_in_the_order_of_their_numbers(tmp_path: Path, named: Any, classes: tuple[str, ...]) -> None:
    assert read_pretrained(folder(tmp_path, BERT | {"id2label": named})).classes == classes


@pytest.mark.parametrize(
    ("kinds", "modes", "pooling"),
    [
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": True}, ("mean", False)),
        (["Transformer", "Pooling", "Normalize"], {"pooling_mode_cls_token": True}, ("cls", True)),
        (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, ("", False)),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, ("", False)),
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("", False)),
    ],
)  # fmt: skip
def test_tokens_become_one_vector_as_sentence_transformers_has_it(
    tmp_path: Path, kinds: list[str], modes: dict[str, bool], pooling: tuple[str, bool]
) -> None:
    made = folder(tmp_path, BERT | {"architectures": ["BertModel"]})
    (made / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]))
    (made / "1_Pooling").mkdir()
    (made / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    found = read_pretrained(made)
    assert (found.pooling, found.normalized) == pooling
    assert found.output == ("sentence_embedding" if pooling[0] else "last_hidden_state")


def test_a_folder_is_told_by_its_configuration(tmp_path: Path) -> None:
    assert is_pretrained(folder(tmp_path / "a", BERT))
    assert not is_pretrained(folder(tmp_path / "b", {"name": "something else"}))
    assert not is_pretrained(tmp_path)


def test_a_source_names_a_folder_by_its_prefix(tmp_path: Path) -> None:
    assert folder_of("hf:./bert", tmp_path) == tmp_path / "bert"
    assert folder_of("./bert.py:build", tmp_path) is None
