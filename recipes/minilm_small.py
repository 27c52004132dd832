"""Half of MiniLM's layers with half of their inner width, taught by the whole one on text that nobody labelled.

The text is what installed packages say of themselves: paragraphs of their docstrings. What the student is judged on
comes from packages that it did not read.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from minilm import build as teacher
from minilm import token_ids
from numpy.typing import NDArray
from torch import Tensor, nn

READ_IN_TRAINING = ("numpy", "scipy", "sklearn", "sympy", "matplotlib", "pandas", "torch", "onnx")
READ_IN_JUDGING = ("networkx", "skimage")
TRAINED_ON, JUDGED_ON = 40_000, 1_000
SHORTEST, LONGEST = 30, 400
KEPT_LAYERS, KEPT_NEURONS = (0, 2, 5), 768


def build() -> nn.Module:
    """Return the student, which starts as a part of its teacher: three layers, and the larger half of their neurons."""
    model = teacher()
    encoder = model.encoder
    encoder.encoder.layer = nn.ModuleList(encoder.encoder.layer[number] for number in KEPT_LAYERS)
    encoder.config.num_hidden_layers = len(KEPT_LAYERS)
    for layer in encoder.encoder.layer:
        wide, back = layer.intermediate.dense, layer.output.dense
        size = wide.weight.norm(dim=1) * back.weight.norm(dim=0)
        kept = size.topk(KEPT_NEURONS).indices.sort().values
        layer.intermediate.dense = _linear(wide.weight[kept], wide.bias[kept])
        layer.output.dense = _linear(back.weight[:, kept], back.bias)
    encoder.embeddings.word_embeddings.requires_grad_(False)  # 23 MB that know their words already
    return model


def train() -> dict[str, NDArray[np.int64]]:
    judged = set(_paragraphs(READ_IN_JUDGING))
    return token_ids([each for each in _paragraphs(READ_IN_TRAINING) if each not in judged][:TRAINED_ON])


def evaluation() -> dict[str, NDArray[np.int64]]:
    return token_ids(_paragraphs(READ_IN_JUDGING)[:JUDGED_ON])


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _paragraphs(packages: tuple[str, ...]) -> list[str]:
    """Return the paragraphs of the packages' docstrings, each once, in an order of their own."""
    found = sorted({each for package in packages for path in _files(package) for each in _prose(path)})
    return [found[place] for place in np.random.default_rng(0).permutation(len(found))]


def _files(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the text comes from the package {package}: mlopt's extra `examples` brings it")
    return sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))


def _prose(path: Path) -> Iterator[str]:
    """Yield the paragraphs of a file's docstrings that are sentences, not lists, tables or code."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # templates, and files for other versions of Python
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                text = " ".join(paragraph.split())
                letters = sum(each.isalpha() or each == " " for each in text)
                if SHORTEST <= len(text) <= LONGEST and letters > 0.9 * len(text) and ">>>" not in text:
                    yield text
