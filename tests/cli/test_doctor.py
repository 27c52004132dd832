from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopt.cli.app import run
from mlopt.cli.doctor import EXTRAS, folder, packages, processor
from mlopt.core.hardware import Hardware

ALL = {name: "1.0" for extra, names in EXTRAS.items() if extra not in {"cpu", "gpu"} for name in names}


def hardware(*isa: str) -> Hardware:
    return Hardware(cpu="a CPU", architecture="x86_64", isa=isa, cores=2, memory_bytes=8 << 30)


def test_this_machine_can_optimize(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert {"mlopt", "python", "cpu", "instructions", "gpu", "providers", "cache", "keys"} <= {
        check["name"] for check in found["checks"]
    }


def test_people_see_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    assert "extra cpu" in capsys.readouterr().out


def test_both_builds_of_onnxruntime_are_a_problem_with_its_cure() -> None:
    first = next(packages({**ALL, "onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}))
    assert first.status == "problem"
    assert first.fix is not None
    assert first.fix.startswith("pip uninstall onnxruntime onnxruntime-gpu")


def test_no_onnxruntime_is_a_problem_and_a_missing_extra_only_a_note() -> None:
    found = {check.name: check for check in packages({})}
    assert found["onnxruntime"].status == "problem"
    assert found["extra torch"].status == "note"
    assert found["extra torch"].fix == 'pip install "mlopt[torch]"'
    assert found["extra data"].found == "lacks pillow, tokenizers"


@pytest.mark.parametrize("build", ["onnxruntime", "onnxruntime-gpu"])
def test_one_build_of_onnxruntime_is_right(build: str) -> None:
    assert {check.status for check in packages({**ALL, build: "1.32.0"})} == {"ok"}


@pytest.mark.parametrize(("isa", "status"), [(("avx2",), "note"), (("avx2", "avx512_vnni"), "ok")])
def test_the_processor_is_judged_by_its_int8_instructions(isa: tuple[str, ...], status: str) -> None:
    assert [check.status for check in processor(hardware(*isa))] == ["ok", status]


def test_a_folder_is_checked_but_not_made(tmp_path: Path) -> None:
    assert folder("cache", tmp_path / "a" / "b", "MLOPT_CACHE").status == "ok"
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    blocked = folder("cache", tmp_path / "file" / "b", "MLOPT_CACHE")
    assert blocked.status == "problem"
    assert blocked.fix is not None
    assert "MLOPT_CACHE" in blocked.fix


def test_a_machine_that_cannot_optimize_gives_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLOPT_CACHE", str(tmp_path / "file" / "cache"))
    assert run(["doctor"]) == 2
    assert "problem" in capsys.readouterr().out
