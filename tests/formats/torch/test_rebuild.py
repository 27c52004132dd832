"""What leaves mlopt with a model: made of PyTorch and safetensors alone, and told where a module is another one."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mlopt.formats.torch import rebuild


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))


def test_it_imports_nothing_of_mlopt() -> None:
    tree = ast.parse(Path(rebuild.__file__).read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(name).partition(".")[0] for name in names} == {
        "__future__", "collections", "json", "pathlib", "random", "safetensors", "sys", "torch", "typing",
    }  # fmt: skip


def test_a_module_comes_in_evaluation_with_its_sizes_and_weights(tmp_path: Path) -> None:
    sizes = {"0": {"numbers": {"out_features": 1}, "shapes": {"weight": [1, 3], "bias": [1]}}}
    (tmp_path / "source.json").write_text(json.dumps({"sizes": sizes}))
    save_file({"0.weight": torch.ones(1, 3), "0.bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    made = rebuild.rebuilt(net, tmp_path / "source.json", tmp_path / "w.safetensors")
    assert not made.training
    assert made(torch.ones(1, 3)).item() == 3.0


def test_a_module_of_other_layers_is_told(tmp_path: Path) -> None:
    (tmp_path / "source.json").write_text("{}")
    save_file({"0.weight": torch.ones(2, 3)}, tmp_path / "w.safetensors")
    with pytest.raises(RuntimeError, match=r"does not fit the module: missing \['0.bias'\]"):
        rebuild.rebuilt(net, tmp_path / "source.json", tmp_path / "w.safetensors")
