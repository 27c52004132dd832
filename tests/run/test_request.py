"""What a request says of itself."""

from __future__ import annotations

from pathlib import Path

from mlopt.run.request import Request, told


def test_a_request_is_told_as_the_command_that_makes_the_same_result() -> None:
    request = Request(
        Path("m.onnx"), data=Path("/home/jane/secret/x.npz"), output=Path("../elsewhere/out"),
        overrides=("passes.quantize.mode=static",), allow_code=True, sign=False,
    )  # fmt: skip
    assert request.command == (
        "mlopt", "optimize", "m.onnx", "--data", "x.npz", "-o", "out", "--set", "passes.quantize.mode=static",
        "--allow-code",
    )  # fmt: skip


def test_a_path_below_the_working_directory_is_told_whole() -> None:
    assert told(Path("models/m.onnx")) == "models/m.onnx"
    assert told(Path("/tmp/m.onnx")) == "m.onnx"
