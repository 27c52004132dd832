"""Files that ``mlopt recipe init --template NAME`` writes: a commented recipe, and the Python that it names.

The Python lies here as text: it is an example for a user's folder, and no part of mlopt that could be imported.
"""

from __future__ import annotations

from pathlib import Path

_PYTHON = {
    "onnx": "onnx_example", "torch-image": "torch_image", "torch-text": "torch_text", "sklearn": "sklearn_example",
    "detector": "detector_example",
}  # fmt: skip
NAMES = tuple(_PYTHON)
_HERE = Path(__file__).parent


def files_of(name: str) -> dict[str, str]:
    """Return the content of a template's files by the name that each gets, the recipe first."""
    recipe, python = name.replace("-", "_"), _PYTHON[name]
    texts = {f"{recipe}.yaml": f"{recipe}.yaml", f"{python}.py": f"{python}.txt"}
    return {written: (_HERE / kept).read_text(encoding="utf-8") for written, kept in texts.items()}
