from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from mlopt.cli.app import run
from mlopt.cli.runtimes import describe
from mlopt.core.hardware import Gpu, Hardware
from mlopt.core.packages import install_command
from mlopt.runtimes import openvino
from mlopt.runtimes import table as runtimes

PLAIN = Hardware(cpu="a CPU", architecture="x86_64", isa=(), cores=2, memory_bytes=8 << 30)
ABSENT = replace(openvino.RUNTIME, packages=("mlopt-is-not-installed",))


def test_the_list_has_every_runtime_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runtimes", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(found) == list(runtimes.table())
    assert (found["onnxruntime"]["installed"], found["onnxruntime"]["reads"]) == (True, ["onnx", "tensorrt"])
    assert found["torch"]["packages"]["torch"]


def test_one_that_is_not_there_says_what_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "BUILTIN", (ABSENT,))
    assert run(["runtimes"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "openvino no - onnx, tensorrt openvino is not" in told
    assert "openvino is not installed and may be faster here" in told  # and how much, on CPUs that were measured
    assert f": {install_command('openvino')} A recipe" in told
    assert describe(ABSENT, PLAIN) == {
        "name": "openvino", "installed": False, "packages": {"mlopt-is-not-installed": None}, "devices": [],
        "reads": ["onnx", "tensorrt"], "install": install_command("openvino"),
        "hint": f"openvino is not installed and may be faster here: {install_command('openvino')}",
    }  # fmt: skip


def test_one_of_another_package_is_installed_under_its_name() -> None:
    assert describe(replace(ABSENT, extra=None), PLAIN)["install"] == "pip install mlopt-is-not-installed"
    there = describe(replace(ABSENT, extra=None, packages=("numpy",)), PLAIN)
    assert (there["installed"], there["devices"], there["install"]) == (True, ["cpu"], "pip install numpy")


def test_a_gpu_is_a_device_where_there_is_one() -> None:
    both = replace(ABSENT, packages=(), devices=frozenset({"cpu", "cuda"}))
    card = Gpu(name="a GPU", compute_capability="9.0", driver="550", memory_bytes=1 << 30)
    assert describe(both, PLAIN)["devices"] == ["cpu"]
    assert describe(both, PLAIN.model_copy(update={"gpu": card}))["devices"] == ["cpu", "cuda"]


@pytest.mark.process
def test_no_library_is_imported_for_it() -> None:
    code = (
        "import sys; from mlopt.cli.app import run; run(['runtimes', '--json'])\n"
        "print({'onnxruntime', 'torch', 'openvino'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
