"""What doctor says of runtimes: what was seen in a child, told with its status and its cure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlopt.cli import doctor_runtimes
from mlopt.cli.doctor_runtimes import (
    Examined,
    clash_checks,
    compiler_check,
    cuda_checks,
    engine_checks,
    examine_runtimes,
    namesake_check,
    nncf_checks,
    range_checks,
    runtime_checks,
)
from mlopt.core.hardware import Gpu, Hardware
from mlopt.core.installation import in_place_of
from mlopt.core.packages import install_command, reinstall_command
from mlopt.runtimes import look, onnxruntime, openvino, tensorrt_library
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Runtime
from mlopt.runtimes.look import Looked

PLAIN = Hardware(cpu="a CPU", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=8 << 30)
CARD = Gpu(name="a GPU", compute_capability="9.0", driver="550", memory_bytes=1 << 30)
WITH_GPU = PLAIN.model_copy(update={"gpu": CARD})
ORT, OV = onnxruntime.RUNTIME, openvino.RUNTIME
GONE = replace(OV, packages=("mlopt-is-not-installed",))


def seen(runtime: Runtime[Any], failure: str | None = None, **about: str) -> Examined:
    return Examined(runtime, dict.fromkeys(runtime.packages, "1.0"), Looked(about, failure, 0.25))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What was looked at, where nothing is."""
    asked: list[tuple[object, ...]] = []

    def looked(*what: object) -> Looked:
        asked.append(what)
        return Looked({"telemetry": "off"}, None, 0.0)

    monkeypatch.setattr(look, "look", looked)
    return asked


def test_only_what_is_installed_is_looked_at(monkeypatch: pytest.MonkeyPatch, looks: list[tuple[object, ...]]) -> None:
    monkeypatch.setattr(runtimes, "BUILTIN", (ORT, GONE))
    told: list[str] = []
    found = examine_runtimes(told.append)
    assert ([one.runtime for one in found], told) == ([ORT, GONE], ["onnxruntime"])
    assert looks == [(look.about_runtime, "onnxruntime")]
    assert found[1].as_json() == {
        "name": "openvino", "versions": {}, "imports": None, "failure": None, "seconds": None, "about": {},
    }  # fmt: skip


@pytest.mark.parametrize("runtime", [ORT, OV])
def test_what_cannot_be_imported_is_told_with_its_cure(runtime: Runtime[Any]) -> None:
    there = replace(runtime, packages=("numpy",))
    (check,) = runtime_checks([seen(there, "it was ended by SIGSEGV")], PLAIN)
    assert check.status == ("problem" if runtime is ORT else "note")
    assert check.found == "1.0, but it cannot be imported: it was ended by SIGSEGV"
    assert check.fix == "pip install --force-reinstall --no-deps numpy"


def test_what_is_not_installed_is_a_problem_only_if_nothing_runs_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "BUILTIN", (ORT, GONE))
    one, other = runtime_checks([Examined(ORT, {}, None), Examined(GONE, {}, None)], PLAIN)
    assert (one.status, one.found, one.fix) == ("problem", "not installed: no model can be run", ORT.install)
    assert (other.status, other.found) == ("note", "not installed; may be faster here")
    assert other.fix == install_command("openvino")


def test_what_a_library_tells_of_the_machine_is_shown() -> None:
    (check,) = runtime_checks([seen(OV, devices="CPU", precision="exact, bf16")], PLAIN)
    assert (check.name, check.status, check.fix) == ("runtime openvino", "ok", None)
    assert check.found == "1.0; devices: CPU; precision: exact, bf16"


@pytest.mark.parametrize(("hardware", "status"), [(PLAIN, "ok"), (WITH_GPU, "note")])
def test_a_gpu_that_onnx_runtime_cannot_use_is_told(hardware: Hardware, status: str) -> None:
    cpu_only = seen(ORT, providers="CPUExecutionProvider")
    both = seen(ORT, providers="CUDAExecutionProvider, CPUExecutionProvider")
    found = {check.name: check for check in runtime_checks([cpu_only], hardware)}
    assert (found["providers"].status, bool(found["providers"].fix)) == (status, status == "note")
    assert [check.status for check in runtime_checks([both], hardware)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("module", "names", "hardware", "status", "fix"),
    [
        ("onnxruntime", ["onnxruntime", "onnxruntime-gpu"], PLAIN, "problem",
         f"pip uninstall -y onnxruntime onnxruntime-gpu && {install_command('cpu')}"),
        ("onnxruntime", ["onnxruntime", "onnxruntime-gpu"], WITH_GPU, "problem",
         f"pip uninstall -y onnxruntime onnxruntime-gpu && {install_command('gpu')}"),
        ("onnxruntime", ["onnxruntime", "onnxruntime-openvino"], WITH_GPU, "problem",
         f"pip uninstall -y onnxruntime onnxruntime-openvino && {install_command('cpu')}"),
        ("onnxruntime", ["onnxruntime-directml"], PLAIN, "problem",
         f"pip uninstall -y onnxruntime-directml && {install_command('cpu')}"),
        ("openvino", ["openvino", "openvino-dev"], PLAIN, "note",
         f"pip uninstall -y openvino openvino-dev && {install_command('openvino')}"),
    ],
)  # fmt: skip
def test_distributions_over_each_other_are_told_with_the_commands(
    module: str, names: list[str], hardware: Hardware, status: str, fix: str
) -> None:
    (check,) = clash_checks([ORT, OV], hardware, {module: names})
    assert (check.name, check.status, check.fix) == (f"module {module}", status, fix)
    assert all(name in check.found for name in names)


def test_another_project_of_that_name_is_told_with_what_removes_it_and_keeps_mlopt() -> None:
    (check,) = namesake_check("0.0.2")
    assert (check.name, check.status) == ("module mlopt", "note")
    assert "mlopt 0.0.2 is installed too: another project" in check.found
    assert check.fix == in_place_of(["mlopt"], reinstall_command())
    assert list(namesake_check(None)) == []


def test_a_version_out_of_range_is_a_note_with_the_one_to_install() -> None:
    (check,) = range_checks(["cpu"], ["numpy>=1,<1.1", "onnx>=1; extra == 'cpu'"])
    assert (check.name, check.status) == ("version of numpy", "note")
    assert check.fix == 'pip install "numpy>=1,<1.1"'


def test_nncf_is_looked_at_where_it_is(monkeypatch: pytest.MonkeyPatch, looks: list[tuple[object, ...]]) -> None:
    monkeypatch.setattr("mlopt.core.packages.version", lambda _: None)
    assert list(nncf_checks(pytest.fail)) == []
    monkeypatch.setattr("mlopt.core.packages.version", lambda _: "3.4")
    (check,) = nncf_checks(lambda _: None)
    assert (check.status, check.found) == ("ok", "3.4; telemetry: off")
    monkeypatch.setattr(look, "look", lambda *_: Looked({}, "it hung", 60.0))
    (check,) = nncf_checks(lambda _: None)
    assert (check.status, check.found) == ("note", "3.4, but it cannot be imported: it hung")


def test_a_missing_compiler_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    check = compiler_check()
    assert (check.status, check.fix is not None) == ("note", True)
    monkeypatch.setattr("mlopt.runtimes.torch_compile.missing_compiler", lambda: None)
    assert doctor_runtimes.compiler_check().status == "ok"


@pytest.mark.parametrize(("built", "driver", "told"), [("13.0", "12.4", 1), ("12.8", "12.4", 0), ("12.8", "13.0", 0)])
def test_a_library_for_a_later_cuda_than_the_driver_knows_is_told(built: str, driver: str, told: int) -> None:
    here = PLAIN.model_copy(update={"gpu": CARD.model_copy(update={"driver": driver})})
    checks = list(cuda_checks([seen(ORT, cuda=built)], here))
    assert len(checks) == told
    assert all("update the driver" in str(each.fix) and built in each.found for each in checks)
    assert list(cuda_checks([seen(ORT, cuda=built)], PLAIN)) == []


def test_what_builds_engines_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "find_spec", lambda _name: None)
    found = list(engine_checks(PLAIN))
    assert [each.name for each in found] == ["engines tensorrt", "engines tensorrt_rtx"]
    assert all(each.status == "note" and str(each.fix).startswith("pip install ") for each in found)
