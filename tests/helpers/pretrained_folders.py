"""Hugging Face folders of tiny models with random weights, as ``save_pretrained`` writes them: no hub is asked."""

from __future__ import annotations

import json
from itertools import islice, permutations
from pathlib import Path
from typing import Any

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "fine", "film", "bad", "the", "plot", "was", "dull", "bright")
_TEXT: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
_VISION: dict[str, Any] = {
    "image_size": 16, "patch_size": 4, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "BertForSequenceClassification": _TEXT | {"id2label": {0: "neg", 1: "pos"}, "label2id": {"neg": 0, "pos": 1}},
    "BertModel": _TEXT,
    "RobertaForTokenClassification": _TEXT | {"num_labels": 3},
    "DistilBertModel": {"vocab_size": len(WORDS), "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
    "ElectraForSequenceClassification": _TEXT | {"embedding_size": 16, "num_labels": 2},
    "ViTForImageClassification": _VISION | {"num_labels": 3},
    "ResNetForImageClassification": {
        "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 3,
    },
}  # fmt: skip
"""What makes a tiny model, by its architecture."""


def save_folder(folder: Path, architecture: str, **settings: Any) -> Path:
    """Write a folder of this architecture: its model, and a tokenizer or a preprocessor."""
    import torch
    import transformers

    torch.manual_seed(0)
    kind = getattr(transformers, architecture)
    model = kind(kind.config_class(**(SETTINGS[architecture] | settings))).eval()
    for parameter in model.parameters():  # as different as trained ones, so that a wrong weight shows
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    if kind.main_input_name == "input_ids":
        save_tokenizer(folder)
    else:
        told = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of ``WORDS``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokens = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=32, **tokens).save_pretrained(folder)


def save_lines(path: Path, count: int = 24) -> Path:
    """Write lines of text with the label of each, by its name."""
    texts = (words[: 2 + number % 3] for number, words in enumerate(permutations(WORDS[4:], 4)))
    rows = [{"text": " ".join(words), "label": ("pos", "neg")[number % 2]}
            for number, words in enumerate(islice(dict.fromkeys(texts), count))]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def save_pictures(folder: Path, classes: tuple[str, ...] = ("cat", "dog", "owl"), each: int = 6) -> Path:
    """Write a folder of small pictures, a subfolder for each class."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder
