"""What a file of PyTorch's is, or another pickle: told by its members and by the names in it; nothing is unpickled.

All of them are ZIP archives or pickles, and what to do differs: a program is a source of a recipe, weights need the
module that they belong to, and what a pickle holds beyond tensors has to be exported by whoever trusts it.
"""

from __future__ import annotations

import json
import lzma
import pickletools
import re
import shlex
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SAFETENSORS = "weights alone (safetensors)"
TORCHSCRIPT = "a TorchScript archive of PyTorch's"
SCRIPTED = (".pt", ".pth", ".ts", ".jit", ".torchscript")
"""How the names of TorchScript files may end; not all that end so are one."""
_READ = 1 << 16
"""Bytes of a pickle: names of classes and the first keys stand at its beginning."""
_TENSORS = ("torch._utils _rebuild", "torch._tensor _rebuild", "torch.storage ", "torch.serialization ")
_HARMLESS = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)|torch (\w+Storage|Size|device|Tensor|bool|[a-z]+\d\w*)"
    r"|torch\.nn\.parameter \w+|numpy(\.\w+)* (_reconstruct|scalar|ndarray|dtype)|_codecs encode|argparse Namespace"
    r"|(builtins|__builtin__) (set|frozenset|slice|complex|bytearray|range)|pathlib \w*Path"
)
"""What a state dict or a checkpoint holds beside tensors, and what runs nothing."""
BROKEN = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What zipfile raises for bytes that are no archive, or one that it cannot read."""
_STRING, _GLOBAL, _PASSED_OVER = "a string", "a global", frozenset({"MARK", "PROTO", "FRAME"})
_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How PyTorch's files before the archives begin."""
_LISTED = frozenset({"collections OrderedDict", "EMPTY_DICT"})
_WEIGHTS = ("state_dict", "model_state_dict", "model", "net", "module", "weights", "params", "ema", "model_ema")
_EXPORT = "torch.onnx.export({}.eval(), (EXAMPLE,), 'model.onnx', dynamo=False)"
_MODULE = (
    "weights are no model: name them in a recipe beside the Python that makes it, "
    "`model: {{source: ./FILE.py:FUNCTION, weights: {}, inputs: {{...}}}}` (docs/recipe.md), or load them there and "
    f"{_EXPORT.format('model')}"
)
_TRUST = f"where you trust it, {_EXPORT.format('torch.load({0!r}, weights_only=False)')} in Python makes a model"
_OTHERS = {
    "sklearn": "a pickled model of scikit-learn",
    "xgboost": "a pickled model of XGBoost",
    "lightgbm": "a pickled model of LightGBM",
}


def told_zip(path: Path) -> tuple[str, str] | None:
    """Return what a ZIP archive is, in words, and what to do with it; None if that is not known."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = {name.partition("/")[2] for name in names}
            if "serialized_exported_program.json" in names or {"models/model.json", "archive_format"} <= inner:
                return "a program of torch.export (.pt2)", _of_program(path)
            if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
                return TORCHSCRIPT, _of_scripted(path)
            if names and all(name.endswith(".npy") for name in names):
                return "data (.npz)", f"it goes with a model: mlopt optimize MODEL.onnx --data {shlex.quote(str(path))}"
            pickled = next((name for name in names if name.partition("/")[2] == "data.pkl"), None)
            if pickled is None:
                return None
            with archive.open(pickled) as stream:
                return told_pickle(stream.read(_READ), path)
    except BROKEN:
        return "a ZIP archive, as PyTorch's files and .npz are, cut short or damaged", "download or save it again"


def told_pickle(head: bytes, path: Path) -> tuple[str, str]:
    """Return what the pickle that begins like this is, and what to do with it."""
    names, keys = _names(head)
    foreign = next((name for name in names if not name.startswith(_TENSORS) and not _HARMLESS.fullmatch(name)), None)
    package = foreign.partition(".")[0].partition(" ")[0] if foreign else ""
    if package in _OTHERS:
        return _OTHERS[package], "convert it to ONNX: skl2onnx, or onnxmltools for boosted trees"
    weights = _MODULE.format(path)
    if "pytorch-lightning_version" in keys:
        return "a checkpoint of Lightning, with weights under 'state_dict'", weights
    inside = next((key for key in _WEIGHTS if keys.get(key) in _LISTED), None)
    has_tensors = any(name.startswith(_TENSORS) for name in names)
    if foreign and not inside:
        what = foreign.replace(" ", ".")
        return f"a pickle of Python objects ({what[:80]!a})", _TRUST.format(str(path))
    if inside and (has_tensors or foreign):
        return f"a checkpoint of PyTorch's, with weights under '{inside}'", weights
    if has_tensors and (head.startswith(_OLD) or keys.get("") in _LISTED):
        return "weights of PyTorch's (a state dict)", weights
    return "a pickle, and no model", "name a recipe (.yaml) or an .onnx file"


def told_safetensors(path: Path) -> tuple[str, str]:
    """Return the same of a safetensors file."""
    return SAFETENSORS, _MODULE.format(path)


def _of_program(path: Path) -> str:
    file = path.with_suffix(".pt2").name
    model = f"{{source: {json.dumps(f'./{file}', ensure_ascii=False)}}}"
    recipe = f"{{apiVersion: mlopt/v1, name: {_plain(path.stem)}, model: {model}, passes: [export, simplify]}}"
    first = "" if path.suffix == ".pt2" else f"rename it to {file}, and "
    return f"{first}write the line {recipe} into recipe.yaml beside it: mlopt optimize recipe.yaml runs that"


def _of_scripted(path: Path) -> str:
    named = path if path.name.endswith(SCRIPTED) else path.with_suffix(".pt")
    first = "" if named == path else f"rename it to {named.name}, and "
    return (
        f"where you trust it, {first}mlopt optimize {shlex.quote(str(named))} --data FILE.npz --allow-code exports it: "
        f"its code runs in PyTorch's interpreter, which is no sandbox. In Python, "
        f"{_EXPORT.format(f'torch.jit.load({str(path)!r})')} makes a model"
    )


def _plain(name: str) -> str:
    """Return a name that a recipe may have."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "model"


def pickled_names(head: bytes) -> list[str]:
    """Return the classes and functions that the pickle names which begins like this, as ``module name``."""
    return _names(head)[0]


def _names(head: bytes) -> tuple[list[str], dict[str, str]]:
    """Return the globals of a pickle, and its strings, each with what follows it; "" stands for the beginning."""
    tokens = _tokens(head)
    keys: dict[str, str] = {}
    for (kind, text), (follows, said) in zip([(_STRING, ""), *tokens], tokens, strict=False):
        if kind == _STRING:
            keys.setdefault(text, said if follows == _GLOBAL else follows)
    return [text for kind, text in tokens if kind == _GLOBAL], keys


def _tokens(head: bytes) -> list[tuple[str, str]]:
    """Return the strings, globals and other operations, without what only stores values for later."""
    found: list[tuple[str, str]] = []
    memo: dict[int, tuple[str, str]] = {}
    for name, argument in _operations(head):
        if name in _PASSED_OVER:
            continue
        if "PUT" in name or name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = found[-1] if found else (name, "")
        elif name == "GLOBAL":
            found.append((_GLOBAL, str(argument)))
        elif name == "STACK_GLOBAL" and len(found) > 1:  # of the two strings before it
            found[-2:] = [(_GLOBAL, f"{found[-2][1]} {found[-1][1]}")]
        elif "GET" in name:
            found.append(memo.get(int(argument), (name, "")))
        else:
            is_text = "UNICODE" in name or "STRING" in name
            found.append((_STRING, str(argument)) if is_text else (name, ""))
    return found


def _operations(head: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the operations as far as they can be read; PyTorch's old format is several pickles in a row."""
    start = 0
    while start < len(head):
        last = start
        try:
            for operation, argument, place in pickletools.genops(head[start:]):
                yield operation.name, argument
                last = start + (place or 0) + 1
        except (ValueError, IndexError, UnicodeDecodeError, OverflowError):  # cut off, or no pickle
            return
        start = last
