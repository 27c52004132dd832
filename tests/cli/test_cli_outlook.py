"""What a run would do, a line for each step."""

from __future__ import annotations

import pytest

from mlopt.cli.outlook import show
from mlopt.run.outlook import Outlook


def test_each_step_says_whether_it_runs_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    show([
        Outlook("simplify", "removes what does nothing", True, "nothing changed"),
        Outlook("quantize", "INT8", False, "config.by: 1 -> 2", optional=True),
        Outlook("fuse", "fuses", None, "open until then"),
    ])  # fmt: skip
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "step cache why what",
        "simplify cached nothing changed removes what does nothing",
        "quantize (optional) runs config.by: 1 -> 2 INT8",
        "fuse open open until then fuses",
    ]


def test_what_each_runtime_has_done_otherwise_is_called_after_it_and_described_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show([
        Outlook("quantize", "INT8", True, "nothing changed", runtime="onnxruntime"),
        Outlook("quantize", "INT8", False, "not done before", optional=True, runtime="openvino"),
        Outlook("fuse", "fuses", None, "for another", runtime="openvino", skipped=True),
    ])  # fmt: skip
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        "quantize in onnxruntime cached nothing changed INT8",
        "quantize in openvino (optional) runs not done before",
        "fuse in openvino left out for another fuses",
    ]


def test_names_of_others_are_text_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show([Outlook("acme.[bold]x", "\x1b[31mred", True, "\u200b[/bold]")])
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split() == ["acme.[bold]x", "cached", "\ufffd[/bold]", "\ufffd[31mred"]
