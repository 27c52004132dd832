"""A Hugging Face folder as the source of a recipe: transformers loads it once, in a worker, from these files alone.

What is kept is what is kept of any PyTorch model (``mlopt.formats.torch.model``): weights, and Python that builds the
module. That Python is text of mlopt's own, made of the configuration, and lies beside the weights; so everything that
reads such a model, up to ``mlopt export-torch``, needs to know nothing of folders. No hub is asked, no pickle is read,
and of Python only mlopt's text and the installed transformers run.
"""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.model import SOURCE, foreign_code, open_torch
from mlopt.formats.torch.pretrained import PREPROCESSOR, TOKENIZER, Pretrained, read_json, read_pretrained
from mlopt.formats.torch.source import Made, make
from mlopt.formats.torch.state import save_state
from mlopt.formats.torch.witness import Feed

PYTHON = "pretrained.py"
_DROPPED = frozenset({
    "_name_or_path", "dtype", "torch_dtype", "attn_implementation", "_attn_implementation",
    "_attn_implementation_internal", "_experts_implementation", "transformers_version",
})  # fmt: skip
"""Of a configuration: where it came from, and what would choose other kernels or another precision."""
_TEXT = '''"""{name} as its config.json describes it; mlopt wrote this."""

import json

import torch
import transformers

CONFIG = json.loads({config})


class Model(torch.nn.Module):
    """Gives `{output}`."""

    def __init__(self):
        super().__init__()
        kind = transformers.{name}
        self.model = kind(kind.config_class.from_dict(CONFIG, attn_implementation="eager"))

    def forward(self, {arguments}):
        found = self.model({passed}, return_dict=True)
{result}


def build():
    return Model()
'''
_MEAN = """\
        weights = {mask}
        vector = (found.last_hidden_state * weights).sum(1) / weights.sum(1).clamp(min=1e-9)"""
_CLS = "        vector = found.last_hidden_state[:, 0]"
_UNIT = "        return torch.nn.functional.normalize(vector, dim=1)"


def python_of(found: Pretrained, names: Sequence[str]) -> str:
    """Return the text of a file whose ``build()`` makes the module, with weights that are still to be loaded."""
    config = repr(json.dumps(_plain(dict(found.config)), sort_keys=True))
    return _TEXT.format(
        name=found.architecture, config=config, output=found.output, arguments=", ".join(names),
        passed=", ".join(f"{name}={name}" for name in names), result="\n".join(_result(found, names)),
    )  # fmt: skip


def _result(found: Pretrained, names: Sequence[str]) -> Iterator[str]:
    if not found.pooling:
        yield f"        return found.{found.output}"
        return
    mask = "attention_mask.unsqueeze(-1).to(found.last_hidden_state.dtype)"
    unmasked = "torch.ones_like(found.last_hidden_state[:, :, :1])"
    yield _CLS if found.pooling == "cls" else _MEAN.format(mask=mask if "attention_mask" in names else unmasked)
    yield _UNIT if found.normalized else "        return vector"


def _plain(value: Any) -> Any:
    """Return a configuration without what would choose kernels; a cache of past tokens is never an output."""
    if isinstance(value, list):
        return [_plain(inside) for inside in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _plain(inside) for key, inside in value.items() if key not in _DROPPED}
    return kept | ({"use_cache": False} if "use_cache" in kept else {})


def interface(folder: Path) -> tuple[Pretrained, tuple[TensorSpec, ...]]:
    """Return what the folder says, and the inputs of its model, named as its tokenizer names them; in a worker."""
    found = read_pretrained(folder)
    kind = _class(found)
    takes = inspect.signature(kind.forward).parameters
    main = str(getattr(kind, "main_input_name", ""))
    if main == "pixel_values":
        return found, (TensorSpec(main, "float32", _picture(found, kind)),)
    if main != "input_ids":
        raise ModelError("mlopt makes no recipe for a model that takes neither text nor images", where=str(folder),
                         got=main, expected="input_ids or pixel_values")  # fmt: skip
    names = [name for name in _tokenized(folder) if name in takes]
    return found, tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in names)


def make_pretrained(
    folder: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...], out: Path, feeds: Sequence[Feed] = ()
) -> Made:
    """Write the model of a folder into the empty directory ``out``; without ``inputs`` it has its tokenizer's.

    Raises ``ModelError`` if the files do not hold all of its weights.
    """
    found, own = interface(folder)
    specs = inputs or own
    takes = inspect.signature(_class(found).forward).parameters
    if unknown := [spec.name for spec in specs if spec.name not in takes]:
        raise ModelError("the model has no such input", where=str(folder), got=unknown[0][:80],
                         expected=", ".join(spec.name for spec in own), fix="correct model.inputs")  # fmt: skip
    python, given = out / PYTHON, out / "given.safetensors"
    python.write_text(python_of(found, [spec.name for spec in specs]), encoding="utf-8")
    _save(found, given)
    made = make(CodeReference(python, "build"), given, specs, outputs or (found.output,), out, feeds)
    given.unlink()
    told = json.loads((out / SOURCE).read_text(encoding="utf-8")) | {"code": PYTHON, "weights": None}
    (out / SOURCE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return replace(made, model=open_torch(out))


def _save(found: Pretrained, file: Path) -> None:
    """Let transformers read the folder's weights, and keep them under the names that ``python_of`` has."""
    import torch

    where = str(found.folder)
    with _offline(where):
        module, info = _class(found).from_pretrained(
            str(found.folder), local_files_only=True, use_safetensors=True, trust_remote_code=False,
            dtype=torch.float32, attn_implementation="eager", output_loading_info=True,
        )  # fmt: skip
    lacking = [*info["missing_keys"], *info["mismatched_keys"]]
    lacking = [str(key) for key in lacking if found.task != "embeddings" or "pooler" not in str(key)]
    if lacking:
        raise ModelError(
            "the files do not hold all weights of the model, and transformers would make up the rest", where=where,
            got=f"{len(lacking)} missing, such as {lacking[0]}", expected=f"all weights of {found.architecture}",
            fix="fine-tune it first, or correct `architectures` in config.json",
        )  # fmt: skip
    whole = torch.nn.Module()
    whole.model = module
    save_state(whole, file, where)


def _tokenized(folder: Path) -> list[str]:
    """Return the names of what the folder's tokenizer gives; without one, those that most models take."""
    import transformers

    if not (folder / TOKENIZER).is_file():
        return ["input_ids", "attention_mask"]
    with _offline(str(folder / TOKENIZER)):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, use_fast=True
        )
        return [str(name) for name in tokenizer.model_input_names]


def _picture(found: Pretrained, kind: Any) -> tuple[int | str, ...]:
    """Return the shape of a batch of images, in the size that the folder's preprocessor makes."""
    with _offline(str(found.folder)):
        config = kind.config_class.from_dict(_plain(dict(found.config)))
    height, width = size_of(read_json(found.folder / PREPROCESSOR)) or _pair(getattr(config, "image_size", None))
    return ("batch", int(getattr(config, "num_channels", 3)), height, width)


def size_of(preprocessor: dict[str, Any]) -> tuple[int, int] | None:
    """Return height and width of what a ``preprocessor_config.json`` makes; None if it does not say."""
    cropped = preprocessor.get("do_center_crop", "crop_size" in preprocessor)
    size = preprocessor.get("crop_size" if cropped else "size")
    if isinstance(size, dict) and {"height", "width"} <= size.keys():
        return int(size["height"]), int(size["width"])
    if isinstance(size, dict):
        size = size.get("shortest_edge")
    return (size, size) if isinstance(size, int) else None


def _pair(size: object) -> tuple[int, int]:
    match size:
        case int(both):
            return both, both
        case [int(height), int(width)]:
            return height, width
    return 224, 224


def _class(found: Pretrained) -> Any:
    """Return the class of transformers; raises ``MissingPackage``, or ``ModelError`` if it has none of this name."""
    with _offline(str(found.folder)):
        try:
            import transformers
        except ImportError as error:
            raise MissingPackage("a Hugging Face folder needs transformers", where=str(found.folder), got=str(error),
                                 fix=install_command("hf")) from error  # fmt: skip
        kind = getattr(transformers, found.architecture, None)
        if not isinstance(kind, type) or not issubclass(kind, transformers.PreTrainedModel):
            raise ModelError(
                "the installed transformers has no such architecture", where=str(found.folder), got=found.architecture,
                expected=f"one of transformers {transformers.__version__}", fix="pip install --upgrade transformers",
            )  # fmt: skip
    return kind


@contextmanager
def _offline(where: str) -> Iterator[None]:
    """Let transformers work on files alone; whatever it raises becomes a ``ModelError`` that names them."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    with foreign_code("transformers cannot load this model", where), warnings.catch_warnings(action="ignore"):
        yield
