"""What a file is that was given where another kind belongs, by its first bytes, and which command takes it.

Somebody who benches a report, or judges a model, has mixed up two paths of one run: a message that names both kinds
and the right command ends that at once. Nothing is decided by a guess: whoever reads the file has already
found that it is not what he needs. PyTorch's files look alike at first, so their parts are looked at (``torch_files``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlopt.formats.torch.files import told_pickle, told_safetensors, told_zip

MODEL, REPORT, RECIPE, JSON = "an ONNX model", "a report of mlopt", "a recipe", "JSON of another kind"
STUDY = "a study of mlopt"
_HEAD = 4096


@dataclass(frozen=True)
class FileType:
    """What a file is, in words, and what may be done with it."""

    name: str
    fix: str


_CONVERT = "onnx.save(onnx.load({0!r}), 'model.onnx') converts it"
_TEXT = FileType("text, not a file that mlopt reads", "check the path, or download the file again")
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", "git lfs pull -I {0}"),
    (rb".{4}ORTM", "a model in ONNX Runtime's own format", "use the .onnx file that it was made from"),
    (rb".{4}TFL3", "a TensorFlow Lite model", "convert it to ONNX first: tf2onnx takes --tflite FILE"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes it", "convert it to ONNX first: tf2onnx takes Keras models"),
    (rb"PK\x03\x04", "a ZIP archive", "name a model, a recipe or an artifact"),
    (rb"GGUF", "a GGUF file of llama.cpp", "mlopt takes models in ONNX and of PyTorch"),
    (rb"ftrt", "an engine of TensorRT", "use the .onnx file that it was made from"),
    (rb"\x93NUMPY", "one array (.npy)", "data is a .npz file of arrays that are named after the inputs"),
    (rb"\x08[\x01-\x14][\x10-\x7a]", MODEL, "mlopt bench {0} -o bench.json makes a report; mlopt inspect {0} shows it"),
    (rb'\s*\{.*"schema":\s*"mlopt\.report/', REPORT, "mlopt gate {0} judges it, mlopt report {0} shows it"),
    (rb'\s*\{.*"schema":\s*"mlopt\.study/', STUDY, "mlopt report {0} shows it"),
    (rb'\s*\{.*"schema":\s*"mlopt\.artifact/', "the manifest of an artifact", "name the folder that it lies in"),
    (rb'\s*\{.*"(irVersion|opsetImport)"', "an ONNX model as JSON", _CONVERT),
    (rb".*\bapiVersion: *['\"]?mlopt/", RECIPE, "mlopt optimize {0} runs it"),
    (rb"\s*(ir_version:|<\s*ir_version)", "an ONNX model as text", _CONVERT),
    (rb"\s*[\[{]", JSON, "check the path"),
)


def told(path: Path) -> FileType | None:
    """Return what ``path`` is, with the fix for this path; None if that is not known, or it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return None
    deeper = _deeper(head, path)
    if deeper is not None:
        return FileType(*deeper)
    found = next((FileType(name, fix) for start, name, fix in _KNOWN if re.match(start, head, re.DOTALL)), None)
    if found is None and head and b"\0" not in head:
        found = _TEXT
    return None if found is None else FileType(found.name, found.fix.format(str(path)))


def _deeper(head: bytes, path: Path) -> tuple[str, str] | None:
    """Return the name and the fix of what its first bytes alone do not tell."""
    if head.startswith(b"PK\x03\x04"):
        return told_zip(path)
    if re.match(rb"\x80[\x02-\x05]", head):
        return told_pickle(head, path)
    if re.match(rb".{4}\0{4}\s*\{", head, re.DOTALL):
        return told_safetensors(path)
    return None
