"""CUDA by its bindings: what is said where they, or a driver, are missing. Nothing here runs on a GPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.hardware import detect
from mlopt.core.packages import install_command, version
from mlopt.runtimes.cuda import Stream, checked, import_cuda

NAMES = (
    "cudaStreamCreate", "cudaStreamDestroy", "cudaStreamSynchronize", "cudaStreamBeginCapture", "cudaStreamEndCapture",
    "cudaStreamCaptureMode", "cudaGraphInstantiate", "cudaGraphExecDestroy", "cudaGraphLaunch", "cudaMalloc",
    "cudaFree",
    "cudaMemcpyAsync", "cudaMemcpyKind",
)  # fmt: skip


class Failed(int):
    name = "cudaErrorInsufficientDriver"


def test_what_a_call_gives_is_returned() -> None:
    assert checked((0, 5)) == 5
    assert checked((0,)) == ()


def test_what_fails_is_told_in_cudas_words() -> None:
    with pytest.raises(ModelError) as caught:
        checked((Failed(35), None))
    assert caught.value.problems[0].got == "cudaErrorInsufficientDriver"


def test_without_the_bindings_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingPackage) as caught:
        import_cuda()
    assert install_command("tensorrt") in str(caught.value.problems[0].fix)


@pytest.mark.rtx
@pytest.mark.skipif(version("cuda-bindings") is None, reason="cuda-bindings is not installed")
def test_the_bindings_have_what_is_called() -> None:
    assert [name for name in NAMES if not hasattr(import_cuda(), name)] == []


@pytest.mark.rtx
@pytest.mark.skipif(version("cuda-bindings") is None, reason="cuda-bindings is not installed")
@pytest.mark.skipif(detect().gpu is not None, reason="there is a GPU")
def test_without_a_driver_that_is_told() -> None:
    with pytest.raises(ModelError, match="CUDA failed"), Stream():
        pass
