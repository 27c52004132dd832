"""A branch on a size that no list of sizes foresees: found by what the exporter compared, or the number beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pass_runs import applied, run_pass

from mlopt.core.errors import PassError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model, TensorSpec

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

from mlopt.formats.torch.source import materialize  # noqa: E402
from mlopt.passes.export import PASS  # noqa: E402

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

MATRIX = (TensorSpec("x", "float32", ("rows", "columns")),)


def model(tmp_path: Path, condition: str, otherwise: str = "x + 1") -> Model:
    path = tmp_path / "net.py"
    path.write_text(
        "import torch\nLIMIT = 40\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        f"        return {otherwise} if {condition} else x * 2\n"
        "def build():\n    return Net()\n",
        encoding="utf-8",
    )
    out = tmp_path / "source"
    out.mkdir()
    return materialize(CodeReference(path, "build"), None, MATRIX, (), out)


@pytest.mark.parametrize(
    "condition",
    [
        "x.shape[0] > 20", "x.shape[1] > LIMIT", "x.shape[0] == 700", "x.shape[0] == x.shape[1]",
        "x.shape[0] * 2 > 100", "x.numel() > 300", "x.shape[1] % 7 == 0", "x.shape[0] // 16 == 2",
        "len(x) - 3 == 11", "x.shape[0] + 5 < x.shape[1]", "max(x.shape) > 33",
    ],
)  # fmt: skip
def test_a_branch_that_no_usual_size_takes_is_found(condition: str, tmp_path: Path) -> None:
    with pytest.raises(PassError, match="every size of a dynamic dimension") as caught:
        run_pass(PASS, model(tmp_path, condition), {"exporter": "dynamo"}, tmp_path)
    assert "net.py:5" in str(caught.value.problems[-1].fix)


@pytest.mark.parametrize("condition", ["x.shape[0] > 20", "x.shape[1] == 77", "x.shape[0] == x.shape[1]"])
def test_the_tracer_is_held_to_the_numbers_in_the_line(condition: str, tmp_path: Path) -> None:
    with pytest.raises(PassError, match="every size of a dynamic dimension"):
        run_pass(PASS, model(tmp_path, condition), {"exporter": "torchscript"}, tmp_path)


@pytest.mark.parametrize(
    "condition", ["x.shape[0] > 20", "x.shape[1] >= LIMIT", "x.shape[0] > 20 and x.shape[1] % (x.shape[1] // 3) == 0"]
)
def test_a_branch_that_changes_nothing_is_no_problem(condition: str, tmp_path: Path) -> None:
    notes: dict[str, Any] = dict(applied(run_pass(PASS, model(tmp_path, condition, "x + x"), {}, tmp_path)).notes)
    assert notes["exporter"] == "dynamo"
    assert max(max(sizes) for sizes in notes["sizes_checked"].values()) > 20


def test_an_operator_that_is_exported_for_some_sizes_is_not_called_a_branch(tmp_path: Path) -> None:
    pool = "torch.nn.functional.adaptive_avg_pool2d(x[None, None], (3, 2))[0]"
    with pytest.raises(PassError, match="an operator was exported for some sizes only"):
        run_pass(PASS, model(tmp_path, "x.ndim", pool), {"exporter": "dynamo"}, tmp_path)


def test_as_many_outputs_as_there_are_rows_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="another number of outputs for other sizes"):
        run_pass(PASS, model(tmp_path, "x.shape[0] > 3", "(x, x)"), {}, tmp_path)
