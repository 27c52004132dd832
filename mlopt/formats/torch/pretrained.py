"""A folder of a Hugging Face model, read without running anything: what it holds, and why it may be refused.

Only ``config.json``, safetensors and the tokenizer's or preprocessor's JSON count. What a folder brings of Python
(``auto_map``) is never run: a model is one of those that the installed transformers has itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.core.errors import ModelError

PREFIX = "hf:"
"""What a recipe's ``model.source`` begins with when it names such a folder."""
CONFIG, TOKENIZER, PREPROCESSOR = "config.json", "tokenizer.json", "preprocessor_config.json"
TASKS = {
    "ForSequenceClassification": "text classification",
    "ForTokenClassification": "token classification",
    "ForImageClassification": "image classification",
    "Model": "embeddings",
}
"""How the names of architectures end, and what such a model does."""
_CLASS = re.compile(r"[A-Z]\w{0,99}")
_HEAD = re.compile(r"Heads?Model$")
"""How architectures end that have a head, though they are called models."""
_LARGEST = 1 << 24
_PYTHON = "write Python that builds it, and name that: model: {source: ./model.py:build}, with --allow-code"


@dataclass(frozen=True)
class Pretrained:
    """What a folder says of itself."""

    folder: Path
    architecture: str
    """The class of transformers."""
    task: str
    """One of the values of ``TASKS``."""
    config: Mapping[str, Any]
    pooling: str = ""
    """``mean`` or ``cls`` where tokens become one vector (as sentence-transformers has it), else nothing."""
    normalized: bool = False
    """Whether that vector is scaled to length 1."""

    @property
    def output(self) -> str:
        """The name of the model's output."""
        if self.task != "embeddings":
            return "logits"
        return "sentence_embedding" if self.pooling else "last_hidden_state"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the order of their numbers; nothing if the folder does not name them."""
        named = self.config.get("id2label") or {}
        try:
            numbered = {int(number): str(name) for number, name in named.items()}
        except (AttributeError, ValueError):
            return ()
        whole = sorted(numbered) == list(range(len(numbered)))
        whole = whole and numbered != {number: f"LABEL_{number}" for number in numbered}  # what stands for no names
        return tuple(numbered[number] for number in range(len(numbered))) if whole else ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the model is made of."""
        named = [CONFIG, "modules.json", "1_Pooling/config.json", TOKENIZER, "tokenizer_config.json", PREPROCESSOR]
        beside = [self.folder / name for name in named]
        return (*(file for file in beside if file.is_file()), *sorted(self.folder.glob("*.safetensors")))


def is_pretrained(folder: Path) -> bool:
    """Whether a folder is, by its files, one of a model of transformers."""
    config = folder / CONFIG
    return config.is_file() and isinstance(_json(config), dict) and "model_type" in _json(config)


def folder_of(source: str, base: Path) -> Path | None:
    """Return the folder that ``model.source`` names with ``hf:``; None if it names something else."""
    return (base / source.removeprefix(PREFIX)).resolve() if source.startswith(PREFIX) else None


def read_pretrained(folder: Path) -> Pretrained:
    """Return what a folder says of its model; raises ``ModelError`` for what mlopt does not load, with the reason."""
    where = str(folder / CONFIG)
    if not (folder / CONFIG).is_file():
        raise ModelError("there is no Hugging Face model in this folder", where=str(folder), expected=CONFIG,
                         fix="name the folder that save_pretrained wrote")  # fmt: skip
    config = _json(folder / CONFIG)
    if not isinstance(config, dict):
        raise ModelError("the model's configuration is no JSON object", where=where, fix="download it again")
    if "auto_map" in _keys(config):
        raise ModelError(
            "the model brings Python of its own (auto_map), which mlopt does not run", where=where,
            expected="an architecture that transformers itself has", fix=_PYTHON,
        )  # fmt: skip
    if "quantization_config" in config:
        raise ModelError("the model is quantized already", where=where, got="quantization_config",
                         expected="weights in floats", fix="name the folder that it was quantized from")  # fmt: skip
    if not any(folder.glob("*.safetensors")):
        _refuse_weights(folder)
    name, task = _architecture(config, where)
    pooling, normalized = _pooling(folder) if task == "embeddings" else ("", False)
    return Pretrained(folder, name, task, config, pooling, normalized)


def _refuse_weights(folder: Path) -> None:
    pickled = sorted(file.name for file in folder.glob("*.bin"))
    raise ModelError(
        "the folder has no weights as safetensors" + (", and a pickle can run any code" if pickled else ""),
        where=str(folder), got=", ".join(pickled) or "no weights", expected="model.safetensors",
        fix="where you trust it, in Python: model.save_pretrained('FOLDER') writes safetensors"
        if pickled else "download the folder again, with its weights",
    )  # fmt: skip


def _architecture(config: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return the class that ``architectures`` names and its task; raises ``ModelError`` for others."""
    listed = config.get("architectures")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    name = names[0] if len(names) == 1 else ""
    task = next((task for ending, task in TASKS.items() if name.endswith(ending)), None)
    task = None if _HEAD.search(name) else task
    if task is None or not _CLASS.fullmatch(name):
        endings = ", ".join(f"...{ending} ({task})" for ending, task in TASKS.items())
        got = ", ".join(names)[:200] or "no architectures"
        raise ModelError("mlopt makes no recipe for this architecture", where=where, got=got, expected=endings,
                         fix=_PYTHON)  # fmt: skip
    if config.get("is_encoder_decoder"):
        raise ModelError("mlopt makes no recipe for a model of an encoder and a decoder", where=where, got=name,
                         expected="one that takes its inputs at once", fix=_PYTHON)  # fmt: skip
    return name, task


def _pooling(folder: Path) -> tuple[str, bool]:
    """Return how sentence-transformers makes one vector of all tokens, where that is done without further weights."""
    file, pooling = folder / "modules.json", folder / "1_Pooling" / CONFIG
    modules = _json(file) if file.is_file() else None
    if not isinstance(modules, list) or not pooling.is_file():
        return "", False
    kinds = [str(each.get("type", "")).rpartition(".")[2] for each in modules if isinstance(each, dict)]
    modes = _json(pooling)
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]) or not isinstance(modes, dict):
        return "", False
    on = [key.removeprefix("pooling_mode_") for key, value in modes.items()
          if key.startswith("pooling_mode_") and value is True]  # fmt: skip
    told = {"mean_tokens": "mean", "cls_token": "cls"}
    return (told[on[0]], "Normalize" in kinds) if len(on) == 1 and on[0] in told else ("", False)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from _keys(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _keys(inside)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a file of the folder; an empty one if there is none."""
    found = _json(file) if file.is_file() else {}
    return found if isinstance(found, dict) else {}


def _json(file: Path) -> Any:
    if file.stat().st_size > _LARGEST:
        raise ModelError("the file is too large for JSON of a model", where=str(file), got=f"{file.stat().st_size:,} B",
                         fix="check what it is")  # fmt: skip
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError("the file is not JSON", where=str(file), got=str(error), fix="download it again") from error
