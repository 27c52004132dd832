"""The verb ``bench``: its options, exit codes and tables, and that other verbs read what it writes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from bench_models import broken, dense
from gate_evidence import report

import mlopt.bench.benchmark
from mlopt.bench.benchmark import BenchRequest, Result
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode
from mlopt.gate.limits import Gate
from mlopt.report import read, read_blocks
from mlopt.results.figures import OperatorTime, SweepPoint

VERDICTS = {"pass": "speedup.median >= 1", "fail": "speedup.median >= 2", "inconclusive": "latency.p99.9_ms <= 1"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[BenchRequest]:
    """The requests that ``bench`` makes; each is answered with a report whose gates are judged, and one lost model."""
    requests: list[BenchRequest] = []

    def answer(request: BenchRequest, _notify: object) -> Result:
        from mlopt.gate.judge import judge, overall

        requests.append(request)
        points = [
            SweepPoint(
                name="final", batch_size=size, threads=1, concurrency=1, latency_ms=report().final.latency_ms,
                throughput_per_s=98.0 * size,
            )
            for size in request.batch_sizes
        ]  # fmt: skip
        found = report(
            sweep=points if len(points) > 1 else (),
            operators={"final": [OperatorTime(op_type=f"Op{n}", nodes=1, ms=1.0) for n in range(12)]},
            notes=("a note \x1b[31m",),
        )
        if request.gates:
            verdicts = judge(request.gates, found, baselines=request.baselines)
            found = found.model_copy(update={"gates": verdicts, "verdict": overall(verdicts)})
        lost = {"bad.onnx": "it was ended by SIGKILL"} if Path("bad.onnx") in request.models else {}
        both = {one.name: one for one in (found.baseline, found.final)}
        speedups = {"final": found.speedup}
        return Result(found, both, speedups, lost, {"final": [[1.0], [2.0]]})

    monkeypatch.setattr(mlopt.bench.benchmark, "run", answer)
    return requests


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("pass", ExitCode.OK), ("fail", ExitCode.GATE_FAILED), ("inconclusive", ExitCode.INCONCLUSIVE)],
)
def test_the_verdict_is_the_exit_code(
    asked: list[BenchRequest], capsys: pytest.CaptureFixture[str], verdict: str, code: ExitCode
) -> None:
    assert run(["bench", "a.onnx", "b.onnx", "--gate", VERDICTS[verdict]]) == code
    assert capsys.readouterr().out.splitlines()[-1] == f"verdict      {verdict}"
    assert len(asked) == 1


def test_without_gates_nothing_is_judged(asked: list[BenchRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "a.onnx"]) == ExitCode.OK
    assert "verdict" not in capsys.readouterr().out
    assert asked[0] == BenchRequest(models=(Path("a.onnx"),))


def test_options_become_a_request(asked: list[BenchRequest], tmp_path: Path) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("- {metric: size_mb, max: 9}\n")
    load = ["--threads", "2,1", "--batch", "1,8,8", "--concurrency", "4"]
    arguments = ["--against", "c.onnx", *load, "--time", "1", "--max-time", "9", "--operators"]
    gate = ["--gate", "latency.p95_ms <= 99", "--gates", str(gates)]
    assert run(["bench", "a.onnx", "b.onnx", *arguments, *gate, "-o", str(tmp_path / "x.json")]) == ExitCode.OK
    assert asked[0] == BenchRequest(
        models=(Path("a.onnx"), Path("b.onnx")), against=Path("c.onnx"), threads=(2, 1), batch_sizes=(1, 8),
        concurrency=(4,), seconds=1, max_time=9, operators=True, raw="x.samples.json",
        gates=(Gate(metric="latency.p95_ms", max=99), Gate(metric="size_mb", max=9)),
    )  # fmt: skip


def test_a_stored_report_is_read_from_where_it_was_named(
    asked: list[BenchRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gates").mkdir()
    for folder in (tmp_path, tmp_path / "gates"):
        (folder / "old.json").write_text(report(name=folder.name).model_dump_json(by_alias=True))
    (tmp_path / "gates/g.yaml").write_text("- {metric: size.ratio, max: 2, vs: ./old.json}\n")
    monkeypatch.chdir(tmp_path)
    line = ["--gate", "size.ratio <= 2 vs old.json"]
    assert run(["bench", "a.onnx", *line, "--gates", "gates/g.yaml"]) == ExitCode.OK
    assert {vs: found.name for vs, found in asked[0].baselines.items()} == {
        "old.json": tmp_path.name,
        "./old.json": "gates",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "1,x"], "'x' is no whole number from 1"),
        (["--threads", "0"], "'0' is no whole number from 1"),
        (["--concurrency", "1,,2"], "'' is no whole number from 1"),
        (["-o", "report.html"], "end the name in .json"),
        (["-o", "nowhere/report.json"], "there is no folder nowhere"),
        (["--gate", "speedup.median > 1"], "a gate has a limit that may be reached"),
        (["--gate", "size.ratio <= 1 vs ./missing.json"], "there is no report here"),
        (["--gates", "missing.yaml"], "missing.yaml"),
    ],
)
def test_what_cannot_work_is_said_before_measuring(
    asked: list[BenchRequest], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["bench", "a.onnx", *arguments]) == ExitCode.USAGE
    assert message in capsys.readouterr().err
    assert not asked


def test_every_gate_that_is_wrong_is_named(asked: list[BenchRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "a.onnx", "--gate", "size_mb < 1", "--gate", "sise_mb <= 1"]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("error: ") == 2
    assert not asked


def test_a_lost_model_is_a_row_and_an_error(
    asked: list[BenchRequest], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    arguments = ["bench", "a.onnx", "bad.onnx", "b.onnx", "--gate", VERDICTS["pass"], "-o", str(path)]
    assert run(arguments) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert "lost: it was ended by SIGKILL" in " ".join(out.split())
    assert "error: bad.onnx: the model could not be measured" in err
    assert read(path).verdict == "pass"
    assert read_blocks(tmp_path / "x.samples.json") == {"final": [[1.0], [2.0]]}


def test_what_is_printed(asked: list[BenchRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "a.onnx", "b.onnx", "--batch", "1,8"]) == ExitCode.OK
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["onnx_fp32", "10.000", "12.000", "98.0", "baseline"] in lines
    assert ["final", "10.000", "12.000", "98.0", "1.36x", "(1.31", "to", "1.42)"] in lines
    assert ["8", "1", "1", "10.000", "12.000", "784.0"] in lines
    assert ["Op9", "1", "1.000", "8.3", "%"] in lines
    assert ["2", "other", "types", "2", "2.000", "16.7", "%"] in lines
    assert "note: a note" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_the_report_and_nothing_else(asked: list[BenchRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "a.onnx", "--json"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == "mlopt.report/v1"
    assert "p95 ms" in err


@pytest.mark.process
def test_gate_report_and_diff_read_what_bench_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dense(tmp_path / "a.onnx", layers=20, width=128)
    dense(tmp_path / "b.onnx", width=128)
    measured = ["bench", "b.onnx", "--against", "a.onnx", "--threads", "1", "--time", "0.1"]
    assert run([*measured, "--gate", "speedup.median >= 1.5", "-o", "r.json"]) == ExitCode.OK
    (tmp_path / "strict.yaml").write_text("- {metric: speedup.median, min: 1000, vs: a.onnx, confidence: 0.99}\n")
    assert run(["gate", "r.json"]) == ExitCode.OK
    assert run(["gate", "r.json", "--gates", "strict.yaml"]) == ExitCode.GATE_FAILED
    assert run(["report", "r.json"]) == ExitCode.OK
    assert run(["report", "r.json", "-o", "r.html"]) == ExitCode.OK
    assert (tmp_path / "r.html").stat().st_size > 10_000
    assert "b.onnx" in capsys.readouterr().out


@pytest.mark.process
def test_a_lost_result_leaves_the_samples_and_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dense(tmp_path / "a.onnx")
    broken(tmp_path / "b.onnx")
    measured = ["bench", "b.onnx", "--against", "a.onnx", "--threads", "1", "--time", "0.1", "-o", "r.json"]
    assert run([*measured, "--gate", "speedup.median >= 1"]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert "lost: " in out
    assert "there is no report without" in err
    assert not (tmp_path / "r.json").exists()
    assert set(read_blocks(tmp_path / "r.samples.json")) == {"a.onnx", "a.onnx (again)"}


def test_runtimes_are_names_each_once(asked: list[BenchRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "a.onnx", "--runtime", "onnxruntime, openvino,onnxruntime"]) == ExitCode.OK
    assert run(["bench", "a.onnx"]) == ExitCode.OK
    assert [request.runtimes for request in asked] == [("onnxruntime", "openvino"), ()]
    assert run(["bench", "a.onnx", "--runtime", "onnxruntime,"]) == ExitCode.USAGE
    assert "a name is missing" in capsys.readouterr().err


def test_a_gate_may_name_a_model_in_a_runtime(asked: list[BenchRequest]) -> None:
    limit = "speedup.median >= 0.5 vs a.onnx (onnxruntime)"
    run(["bench", "a.onnx", "--runtime", "onnxruntime,openvino", "--gate", limit])
    assert asked[0].gates[0].vs == "a.onnx (onnxruntime)"
    assert asked[0].baselines == {}
