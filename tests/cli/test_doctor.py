from __future__ import annotations

import json
from pathlib import Path

import pytest
from told_commands import check_commands

from mlopt.cli.app import run
from mlopt.cli.doctor import folder, processor
from mlopt.core.hardware import Hardware


def hardware(*isa: str) -> Hardware:
    return Hardware(cpu="a CPU", architecture="x86_64", isa=isa, cores=2, memory_bytes=8 << 30)


@pytest.mark.process
def test_this_machine_can_optimize(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert {"mlopt", "python", "cpu", "instructions", "gpu", "providers", "compiler", "cache", "keys"} <= {
        check["name"] for check in found["checks"]
    }
    assert {one["name"] for one in found["runtimes"]} == {"onnxruntime", "torch", "openvino", "tensorrt"}
    (ours,) = (one for one in found["runtimes"] if one["name"] == "onnxruntime")
    assert (ours["imports"], ours["failure"], list(ours["versions"])) == (True, None, ["onnxruntime"])
    assert ours["about"]["telemetry"].startswith("off")


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


@pytest.mark.process
def test_a_machine_that_cannot_optimize_gives_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLOPT_CACHE", str(tmp_path / "file" / "cache"))
    assert run(["doctor"]) == 2
    told = capsys.readouterr().out
    assert "problem" in told
    assert "runtime onnxruntime" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["artifacts/net"], "an artifact is only looked at with --deployment"),
        (["--deployment", "--slo", "p99=20ms"], "are about an artifact"),
        (["--deployment", "--key", "k.pub"], "are about an artifact"),
        (["--rate", "10"], "are about an artifact"),
        (["--deployment", "nowhere"], "the artifact does not exist"),
    ],
)
def test_options_that_would_say_nothing_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    if words[-1] != "nowhere":
        assert check_commands(told[told.index("mlopt doctor") :]) == 1
