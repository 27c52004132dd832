"""The table of passes, and what is refused a place in it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mlopt.core.errors import PluginError
from mlopt.passes.table import BUILTIN, table

PLUGIN = """
from mlopt.formats.model import ONNX, TORCH
from mlopt.passes.base import Pass, PassConfig

PASS = Pass(
    name="anonymous", version=1, summary="", accepts=frozenset({ONNX}), produces=ONNX, config=PassConfig,
    run=lambda model, config, context: None,
)
"""


@pytest.mark.parametrize("pass_", BUILTIN, ids=lambda pass_: pass_.name)
def test_every_pass_can_be_handed_to_its_worker(pass_: object) -> None:
    assert pickle.loads(pickle.dumps(pass_)) == pass_


def test_one_that_cannot_be_is_refused_when_the_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "mlopt_plugin_anonymous-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlopt-plugin-anonymous\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlopt.passes]\nanonymous = mlopt_plugin_anonymous:PASS\n")
    (tmp_path / "mlopt_plugin_anonymous.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match="the pass 'anonymous' cannot be handed to its worker") as caught:
        table()
    problem = caught.value.problems[0]
    assert problem.where == "mlopt_plugin_anonymous"
    assert "no lambda among them" in str(problem.expected)
