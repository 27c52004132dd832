"""What ``--data`` names, as a recipe would say it: how its files become the inputs of a model that has no recipe yet.

Images are scaled as the preprocessor beside the model says, and texts are read with the tokenizer beside it. What
no file says is taken from the model's input, or is the default of a recipe, and the recipe that is made says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlopt.core.errors import DataError
from mlopt.data.source import SUPPORTED
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.pretrained import PREPROCESSOR, TOKENIZER, read_json

_TEXTS = ("text", "sentence", "sentence1", "premise", "question", "content", "review")
_SECONDS = {"sentence1": "sentence2", "premise": "hypothesis", "question": "answer", "text": "text_pair"}
_LABELS = ("label", "labels", "class", "category", "target")
_TOKENS = 128
_LIMIT = 1 << 20
"""Bytes of a first line."""


@dataclass(frozen=True)
class GivenData:
    """The keys of a data source beside ``source``, and what a reader of the recipe should know of them."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    tokenizer: Path | None = None
    """The file that ``text.tokenizer`` is to name, relative to the recipe."""


def described(
    data: Path, inputs: Sequence[TensorSpec], folder: Path, *, classes: Sequence[str] = (), fixed: bool = True
) -> GivenData:
    """Return how samples are read; ``folder`` is where the model lies, with what belongs to it.

    ``fixed`` says whether texts are padded to one length whatever is in them. Raises ``DataError``.
    """
    if data.is_dir():
        return _images(inputs, folder, classes)
    if data.suffix == ".jsonl":
        return _text(data, inputs, folder, classes, fixed=fixed)
    if data.suffix != ".npz" and not data.exists():
        raise DataError("the data does not exist", where=str(data), expected=_EXPECTED, fix="check the path")
    return GivenData()


def unlabelled(given: GivenData) -> GivenData:
    """Return the same without labels, for a model of which one label a sample says nothing."""
    keys = {key: value for key, value in given.keys.items() if key != "classes"}
    if "text" in keys:
        keys["text"] = {key: value for key, value in keys["text"].items() if key != "label"}
    return replace(given, keys=keys)


_EXPECTED = SUPPORTED.replace(", or ./file.py:function", "").replace(" with `text.tokenizer`", "")


def _images(inputs: Sequence[TensorSpec], folder: Path, classes: Sequence[str]) -> GivenData:
    preprocessor = read_json(folder / PREPROCESSOR)
    keys, said = _of_input(inputs[0]) if inputs else {}, []
    if preprocessor:
        keys |= _prepared(preprocessor)
        said.append(f"as {PREPROCESSOR} has it, but that mlopt scales bilinearly, in proportion, and crops the centre")
    elif keys.get("dtype") != "uint8":
        said.append("pixels are scaled to 0..1 (image.scale); give `mean` and `std` if the model was trained with them")
    return GivenData(({"classes": list(classes)} if classes else {}) | {"image": keys}, tuple(said))


def _of_input(spec: TensorSpec) -> dict[str, Any]:
    """Return what the input itself tells of its images: where the channels are, how many, and their type."""
    shape = spec.shape[-3:]
    last = len(shape) == 3 and shape[0] not in (1, 3) and shape[2] in (1, 3)
    channels = shape[2 if last else 0] if len(shape) == 3 else None
    keys: dict[str, Any] = {"layout": "nhwc"} if last else {}
    keys |= {"color": "gray"} if channels == 1 else {}
    return keys | ({"dtype": "uint8"} if spec.dtype == "uint8" else {})


def _prepared(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of ``image`` that do what a ``preprocessor_config.json`` says."""
    from mlopt.formats.torch.pretrained_source import size_of

    keys: dict[str, Any] = {}
    if (size := size_of(dict(preprocessor))) is not None:
        keys["size"] = list(size)
    shortest = _shortest(preprocessor.get("size"))
    if shortest and preprocessor.get("do_resize", True) and size is not None and shortest > min(size):
        keys["resize"] = shortest
    scaled = preprocessor.get("do_rescale", True)
    factor = float(preprocessor.get("rescale_factor", 1 / 255)) if scaled else 1.0
    keys |= {} if abs(factor - 1 / 255) < 1e-9 else {"scale": factor}
    if preprocessor.get("do_normalize", True):
        for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
            values = preprocessor.get(theirs)
            keys |= {ours: [float(value) for value in values]} if isinstance(values, list) else {}
    return keys


def _shortest(size: object) -> int | None:
    if isinstance(size, dict):
        size = size.get("shortest_edge")
    return size if isinstance(size, int) else None


def _text(data: Path, inputs: Sequence[TensorSpec], folder: Path, classes: Sequence[str], *, fixed: bool) -> GivenData:
    """Return the keys of ``text``; the tokenizer is beside the model, or beside the data."""
    places = [each / TOKENIZER for each in (folder, data.parent)]
    tokenizer = next((file for file in places if file.is_file()), None)
    if tokenizer is None:
        raise DataError(
            "text needs a tokenizer, and there is none beside the model or the data", where=str(data),
            expected=" or ".join(map(str, dict.fromkeys(places))), fix=f"copy the model's {TOKENIZER} there",
        )  # fmt: skip
    row = _first(data)
    texts = [name for name, value in row.items() if isinstance(value, str) and name not in _LABELS]
    text = next((name for name in (*_TEXTS, *texts) if name in texts), "text")
    second = _SECONDS.get(text, "")
    label = next((name for name in _LABELS if isinstance(row.get(name), str | int)), None)
    named = isinstance(row.get(label or ""), str)
    keys: dict[str, Any] = {"field": text} if text != "text" else {}
    keys |= {"pair": second} if isinstance(row.get(second), str) else {}
    keys |= {"label": label} if label else {}
    length = next((spec.shape[1] for spec in inputs if len(spec.shape) == 2 and isinstance(spec.shape[1], int)), None)
    keys |= {"max_length": length or _longest(folder)}
    keys |= {"padding": "longest"} if length is None and not fixed else {}
    return GivenData(({"classes": list(classes)} if classes and named else {}) | {"text": keys}, (), tokenizer)


def _longest(folder: Path) -> int:
    """Return how many tokens of a text are kept: as many as the model takes, and no more than the default."""
    told = [
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        read_json(folder / "config.json").get("max_position_embeddings"),
    ]
    return min([_TOKENS, *(int(size) for size in told if isinstance(size, int | float) and size >= 1)])


def _first(data: Path) -> dict[str, Any]:
    """Return the first object of a file of lines; what is wrong with it, the reader says."""
    try:
        with data.open("rb") as stream:
            line = next((line for line in iter(lambda: stream.readline(_LIMIT), b"") if line.strip()), b"{}")
        found = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except FileNotFoundError as error:
        raise DataError("the data does not exist", where=str(data), expected=_EXPECTED, fix="check the path") from error
    except (ValueError, RecursionError, OSError):
        return {}
    return found if isinstance(found, dict) else {}
