"""A small table of passes, and a folder with a recipe and the files that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from mlopt.formats.model import ONNX, TORCH, Model
from mlopt.passes.base import Context, Pass, PassConfig, Refusal


class ExportConfig(PassConfig):
    opset: int = Field(default=20, ge=11, le=23)


class SimplifyConfig(PassConfig):
    pass


class QuantizeConfig(PassConfig):
    mode: Literal["auto", "static", "dynamic"] = "auto"
    scheme: Literal["auto", "u8s8", "s8s8"] = "auto"
    exclude: tuple[str, ...] = ()
    reduce_range: bool | None = None


class FuseConfig(PassConfig):
    pass


def _fake(name: str, config: type[PassConfig]) -> Pass[Any]:
    def run(model: Model, config: PassConfig, context: Context) -> Refusal:
        return Refusal("only for tests of recipes")

    return Pass(name, 1, f"The {name} pass.", frozenset({ONNX, TORCH}), ONNX, config, run)


@pytest.fixture
def passes() -> dict[str, Pass[Any]]:
    configs = {"export": ExportConfig, "simplify": SimplifyConfig, "quantize": QuantizeConfig, "fuse": FuseConfig}
    return {name: _fake(name, config) for name, config in configs.items()}


@pytest.fixture
def write_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """``write_recipe(text)``: the relative path of a recipe in a folder where ``digits.py`` and ``m.onnx`` stand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.py").write_text("def build(): ...\n")
    (tmp_path / "m.onnx").write_bytes(b"onnx")

    def write(text: str) -> Path:
        Path("recipe.yaml").write_text(text, encoding="utf-8")
        return Path("recipe.yaml")

    return write
