"""What each tool takes to start: CPU seconds of its ``--help``, or of its import where it is a library."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from precision_contenders import BENCH, FailedError, said

RUNS = 3
TORCHVISION = """
import torch
declared = torch.library.Library("torchvision", "FRAGMENT")
for operator in ("nms", "qnms"):
    declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
"""What lets PyPI's torchvision be imported beside a CPU build of PyTorch, as in ``pruna_server.py``."""
KEPT = BENCH / "peers/starts.json"
OWN = Path(sys.executable)


def _of(environment: str) -> Path:
    return BENCH / environment / "bin/python"


STARTS: dict[str, tuple[str, list[Any]]] = {
    "mlopt": ("mlopt --help", [OWN, "-m", "mlopt", "--help"]),
    "ONNX Runtime": ("import onnxruntime.quantization", [OWN, "-c", "import onnxruntime.quantization"]),
    "onnxsim": ("onnxsim --help", [OWN, OWN.with_name("onnxsim"), "--help"]),
    "onnxslim": ("onnxslim --help", [_of("slim"), _of("slim").with_name("onnxslim"), "--help"]),
    "OpenVINO": ("import openvino", [_of("nncf"), "-c", "import openvino"]),
    "NNCF": ("import nncf", [_of("nncf"), "-c", "import nncf"]),
    "Olive": ("olive --help", [_of("olive"), _of("olive").with_name("olive"), "--help"]),
    "PyTorch": ("import torch", [OWN, "-c", "import torch"]),
    "neural-compressor": (
        "import neural_compressor.torch.quantization",
        [OWN, "-c", "import neural_compressor.torch.quantization"],
    ),
    "pruna": ("import pruna", [_of("pruna"), "-c", f"{TORCHVISION}import pruna"]),
}
"""By tool: what is called, in words and as a command."""


def kept_starts() -> dict[str, dict[str, Any]]:
    """Return what was measured with the rivals' models; measured now if it was not."""
    if not KEPT.exists():
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_text(json.dumps(started(), indent=1), encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(KEPT.read_text(encoding="utf-8"))
    return found


def started() -> dict[str, dict[str, Any]]:
    """Return the median CPU seconds of each tool's start, after one that is not counted; or why it failed."""
    return {tool: {"what": what, **_taken(command)} for tool, (what, command) in STARTS.items()}


def _taken(command: list[Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        usage, times = folder / "usage.json", []
        try:
            for _ in range(RUNS + 1):
                said(command, folder, folder / "log", usage=usage)
                times.append(json.loads(usage.read_text(encoding="utf-8"))["cpu_s"])
        except FailedError as error:
            return {"failed": str(error)}
    return {"cpu_s": round(statistics.median(times[1:]), 3)}
