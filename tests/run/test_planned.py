"""What a recipe comes to before any work: its Python by digest, what is said of it, and nothing that changes later."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from bench_models import dense

from mlopt.run.optimize import planned_for
from mlopt.run.request import Request


def test_it_holds_what_later_stages_work_with(tmp_path: Path) -> None:
    dense(tmp_path / "net.onnx")
    recipe = "apiVersion: mlopt/v1\nname: net\nmodel: {source: ./net.onnx}\npasses: [simplify]\ntarget: {threads: 1}\n"
    (tmp_path / "net.yaml").write_text(recipe)
    with planned_for(Request(source=tmp_path / "net.yaml", output=tmp_path / "out")) as planned:
        assert planned.loaded.recipe.name == "net"
        assert (planned.options.threads, planned.output, planned.signer) == (1, tmp_path / "out", None)
        assert planned.code == {}
        assert any("random samples were used" in note for note in planned.notes)
        with pytest.raises(FrozenInstanceError):
            planned.notes = ()  # type: ignore[misc]
