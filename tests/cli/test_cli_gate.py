"""The verb ``gate``: exit codes, what it prints and writes, and what it never imports."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
from gate_evidence import report
from typer.testing import CliRunner, Result

from mlopt.artifact import layout
from mlopt.artifact.layout import Content, ModelEntry, Role
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.gate import gate
from mlopt.core.errors import ExitCode, GateError, IntegrityError, MloptError, OutputError, UserError
from mlopt.formats.model import ONNX, TensorSpec
from mlopt.gate.judge import judge, overall
from mlopt.gate.limits import Gate
from mlopt.report import write, write_samples
from mlopt.report.ci.github import SUMMARY_LIMIT
from mlopt.results.report import Report

PASS = Gate(metric="speedup.median", min=1.2, vs="onnx_fp32")
FAIL = Gate(metric="speedup.median", min=1000)
UNDECIDED = Gate(metric="latency.p99.9_ms", max=20)


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(gate)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def judged(*gates: Gate) -> Report:
    verdicts = judge(gates, report())
    return report(gates=verdicts, verdict=overall(verdicts))


@pytest.fixture
def evidence(tmp_path: Path) -> Callable[..., Path]:
    """``evidence(*gates)`` writes a report that was made with these gates."""

    def make(*gates: Gate) -> Path:
        write(judged(*gates) if gates else report(), tmp_path / "report.json")
        return tmp_path / "report.json"

    return make


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An unsigned artifact with a model that is none, and a report whose one gate passed."""

    def fill(folder: Path) -> Content:
        (folder / "model.onnx").write_bytes(b"weights")
        write(judged(PASS), folder / "report.json")
        specs = (TensorSpec("x", "float32", ("batch", 2)),)
        model = ModelEntry(file="model.onnx", kind=ONNX, digest="0" * 64, inputs=specs, outputs=specs)
        files = {"model.onnx": Role.MODEL, "report.json": Role.REPORT}
        return Content(name="digits", model=model, runtime="onnxruntime", options={}, verdict="pass", files=files)

    layout.write(tmp_path / "digits", fill)
    return tmp_path / "digits"


def write_gates(folder: Path, text: str) -> Path:
    (folder / "gates.yaml").write_text(text, encoding="utf-8")
    return folder / "gates.yaml"


# Exit codes


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        ((PASS,), ExitCode.OK),
        ((PASS, FAIL, UNDECIDED), ExitCode.GATE_FAILED),
        ((PASS, UNDECIDED), ExitCode.INCONCLUSIVE),
    ],
)
def test_the_recorded_gates_decide_the_exit_code(evidence: Callable[..., Path], gates: tuple, code: ExitCode):
    assert run(evidence(*gates)).exit_code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("- {metric: latency.p95_ms, max: 13}", ExitCode.OK),
        ("- {metric: speedup.median, min: 1000}", ExitCode.GATE_FAILED),
        ("- {metric: latency.p99.9_ms, max: 13}", ExitCode.INCONCLUSIVE),
    ],
)
def test_a_gates_file_takes_their_place(evidence: Callable[..., Path], tmp_path: Path, text: str, code: ExitCode):
    assert run(evidence(FAIL), "--gates", write_gates(tmp_path, text)).exit_code == code


@pytest.mark.parametrize("text", ["- {metric: speedup.median, min: 1, vs: tflite}", "- {metric: joules, max: 1}", "[]"])
def test_what_was_not_measured_is_an_error_of_the_user(evidence: Callable[..., Path], tmp_path: Path, text: str):
    with pytest.raises(GateError) as error:
        run(evidence(PASS), "--gates", write_gates(tmp_path, text))
    assert error.value.exit_code == ExitCode.USAGE


def test_a_report_without_gates_has_nothing_to_judge(evidence: Callable[..., Path]):
    with pytest.raises(GateError, match="no gates"):
        run(evidence())


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("size_bytes", 10**400, "final.size_bytes"),
        ("peak_rss_bytes", -1, "final.peak_rss_bytes"),
        ("batch_size", 2**53 + 1, "final.batch_size"),
    ],
)
def test_a_count_that_cannot_be_one_is_an_error_of_the_user(
    evidence: Callable[..., Path], key: str, value: int, where: str
):
    document = json.loads(evidence(PASS).read_text(encoding="utf-8"))
    document["final"][key] = value
    file = evidence()
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match="not a report of mlopt") as error:
        run(file)
    assert error.value.problems[1].where == where


def test_a_run_has_planned_a_look(evidence: Callable[..., Path]):
    document = json.loads(evidence(PASS).read_text(encoding="utf-8"))
    document["sampling"]["looks_planned"] = 0
    file = evidence()
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match=r"sampling\.looks_planned"):
        run(file)


def test_a_missing_report_is_said(tmp_path: Path):
    with pytest.raises(MloptError, match="no report"):
        run(tmp_path / "none.json")


# What people and programs read


def test_text(evidence: Callable[..., Path], golden: Callable[[str, str], None]):
    golden("gate/text.txt", run(evidence(PASS, FAIL, UNDECIDED)).stdout)


def test_json_stands_alone_on_standard_output(evidence: Callable[..., Path]):
    file = evidence(PASS, UNDECIDED)
    result = run(file, "--json")
    document = json.loads(result.stdout)
    assert (document["source"], document["name"], document["verdict"]) == (str(file), "digits", "inconclusive")
    assert document["gates"] == [one.model_dump(mode="json") for one in judged(PASS, UNDECIDED).gates]
    assert "inconclusive" in result.stderr


def test_junit(evidence: Callable[..., Path], tmp_path: Path, golden: Callable[[str, str], None]):
    run(evidence(PASS, FAIL, UNDECIDED), "--junit", tmp_path / "junit.xml")
    text = (tmp_path / "junit.xml").read_text(encoding="utf-8")
    suite = ET.fromstring(text)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    golden("gate/junit.xml", text)


def test_a_summary_is_appended(evidence: Callable[..., Path], tmp_path: Path, golden: Callable[[str, str], None]):
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n\n", encoding="utf-8")
    run(evidence(PASS, FAIL, UNDECIDED), "--summary", summary)
    golden("gate/summary.md", summary.read_text(encoding="utf-8"))


def test_a_report_cannot_break_out_of_what_is_written(tmp_path: Path):
    nasty = "\x1b[31mx\x00</testcase>|<script>]]>\n# head"
    verdicts = [one.model_copy(update={"metric": nasty, "message": nasty}) for one in judged(FAIL).gates]
    write(report(gates=tuple(verdicts), name=nasty), tmp_path / "report.json")
    result = run(tmp_path / "report.json", "--junit", tmp_path / "junit.xml", "--summary", tmp_path / "summary.md")
    assert "\x1b" not in result.stdout
    assert len(ET.parse(tmp_path / "junit.xml").getroot()) == 1
    table = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "\n# head" not in table
    assert len([line for line in table.splitlines() if line.startswith("| fail |")]) == 1


def test_an_unwritable_result_is_said(evidence: Callable[..., Path], tmp_path: Path):
    for option in ("--junit", "--summary", "--metrics", "--action-benchmark", "--bencher", "--badge"):
        with pytest.raises(OutputError, match="cannot be written"):
            run(evidence(PASS), option, tmp_path / "absent" / "file")


def test_every_format_is_written_from_the_gates_that_were_judged(evidence: Callable[..., Path], tmp_path: Path):
    gates = write_gates(tmp_path, "- {metric: speedup.median, min: 1000}")
    files = {name: tmp_path / name for name in ("metrics", "action-benchmark", "bencher", "badge")}
    options = [part for name, file in files.items() for part in (f"--{name}", file)]
    assert run(evidence(PASS), "--gates", gates, *options).exit_code == ExitCode.GATE_FAILED
    assert 'mlopt_verdict_state{model="digits"} 2\n' in files["metrics"].read_text()
    assert json.loads(files["badge"].read_text())["message"] == "failing"
    assert json.loads(files["bencher"].read_text())["digits: final"]["latency"]["value"] == 10e6
    assert json.loads(files["action-benchmark"].read_text())[0]["name"] == "digits: latency p50"


@pytest.mark.parametrize(
    ("variable", "options", "shown"),
    [
        ("true", [], True),
        ("true", ["--no-annotations"], False),
        ("true", ["--json"], False),
        ("", [], False),
        ("", ["--annotations"], True),
    ],
)
def test_annotations_are_for_github(
    evidence: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, variable: str, options: list[str], shown: bool
):
    monkeypatch.setenv("GITHUB_ACTIONS", variable)
    result = run(evidence(PASS, FAIL), *options)
    assert ("\n::error title=speedup.median >= 1000::" in result.stdout) == shown
    assert "::error" not in result.stderr


def test_a_report_cannot_give_the_runner_commands(tmp_path: Path):
    bad = "::add-mask::x ##[error]y"
    verdicts = [one.model_copy(update={"metric": bad, "message": bad}) for one in judged(FAIL).gates]
    write(report(gates=tuple(verdicts), verdict="fail"), tmp_path / "report.json")
    lines = run(tmp_path / "report.json").stdout.splitlines()
    assert not [line for line in lines if line.strip().startswith("::") or "##[" in line]


def test_a_summary_that_steps_share_stays_within_githubs_limit(evidence: Callable[..., Path], tmp_path: Path):
    summary, file = tmp_path / "summary.md", evidence(PASS)
    for size, shown in ((SUMMARY_LIMIT - 400, True), (SUMMARY_LIMIT - 10, False)):
        summary.write_bytes(b"x" * size)
        result = run(file, "--summary", summary)
        assert summary.stat().st_size <= SUMMARY_LIMIT
        assert (summary.stat().st_size > size) == shown
        assert ("is full" in result.stderr) != shown


# Stored reports


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (["speedup.median >= 0.5"], ExitCode.OK),
        (["speedup.median >= 1000"], ExitCode.GATE_FAILED),
        (["speedup.median >= 0.5", "speedup.median >= 1000"], ExitCode.GATE_FAILED),
    ],
)
def test_limits_on_the_command_line_are_judged_instead(
    evidence: Callable[..., Path], tmp_path: Path, limits: list[str], code: ExitCode
):
    options = [word for limit in limits for word in ("--gate", limit)]
    assert run(evidence(PASS), *options).exit_code == code
    gates = write_gates(tmp_path, "- {metric: speedup.median, min: 0.5}")
    assert run(evidence(PASS), *options, "--gates", gates).exit_code == code


def test_what_is_no_limit_is_told_at_once(evidence: Callable[..., Path]):
    with pytest.raises(GateError) as caught:
        run(evidence(PASS), "--gate", "speedup.median > 1", "--gate", "speedup.medain >= 1")
    assert len(caught.value.problems) == 2


def test_a_limit_on_the_command_line_compares_with_the_stored_baseline(evidence: Callable[..., Path], tmp_path: Path):
    stored = evidence(PASS)
    assert run(stored, "--gate", "speedup.median >= 0.5 vs baseline", "--baseline", stored).exit_code == ExitCode.OK


def test_a_stored_baseline_is_what_baseline_names(evidence: Callable[..., Path], tmp_path: Path):
    gates = write_gates(tmp_path, "- {metric: speedup.median, min: 0.5, vs: baseline}")
    stored = tmp_path / "stored.json"
    write(report(), stored)
    assert run(evidence(PASS), "--gates", gates, "--baseline", stored).exit_code == ExitCode.OK


def test_a_gate_file_may_name_the_stored_report_beside_it(evidence: Callable[..., Path], tmp_path: Path):
    write(report(), tmp_path / "stored.json")
    gates = write_gates(tmp_path, "- {metric: speedup.median, min: 0.5, vs: ./stored.json}")
    assert run(evidence(PASS), "--gates", gates).exit_code == ExitCode.OK


def test_a_stored_report_of_other_hardware_decides_nothing(evidence: Callable[..., Path], tmp_path: Path):
    environment = report().environment
    other = environment.model_copy(update={"cpu": environment.cpu.model_copy(update={"model": "Xeon"})})
    write(report(environment=other), tmp_path / "stored.json")
    gates = write_gates(tmp_path, "- {metric: speedup.median, min: 0.5, vs: baseline}")
    result = run(evidence(PASS), "--gates", gates, "--baseline", tmp_path / "stored.json")
    assert result.exit_code == ExitCode.INCONCLUSIVE
    assert f"CPU was Xeon, is {environment.cpu.model}" in result.stdout


def test_a_gate_without_its_stored_report_names_the_option(evidence: Callable[..., Path], tmp_path: Path):
    gates = write_gates(tmp_path, "- {metric: speedup.median, min: 0.5, vs: baseline}")
    with pytest.raises(GateError, match="--baseline FILE"):
        run(evidence(PASS), "--gates", gates)


def test_a_stored_report_without_gates_is_refused(evidence: Callable[..., Path], tmp_path: Path):
    with pytest.raises(UserError, match="--baseline goes with --gate or --gates"):
        run(evidence(PASS), "--baseline", tmp_path / "report.json")


def test_another_confidence_is_judged_on_the_samples_beside_the_report(tmp_path: Path):
    write(report(), tmp_path / "report.json")
    gates = write_gates(tmp_path, "- {metric: latency.p50_ms, max: 11, confidence: 0.9}")
    blocks = [[10.0 + 0.01 * (index % 7) for index in range(40)] for _ in range(25)]
    write_samples({"final": blocks, "onnx_fp32": blocks}, tmp_path / "samples.json")
    assert run(tmp_path / "report.json", "--gates", gates).exit_code == ExitCode.OK
    (tmp_path / "samples.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="not raw samples"):
        run(tmp_path / "report.json", "--gates", gates)


# Artifacts


def test_a_signed_artifact_is_verified_first(artifact: Path):
    sign(artifact, KeySigner(keys.user_key().private))
    assert run(artifact).exit_code == ExitCode.OK
    (artifact / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        run(artifact)


def test_figures_that_nobody_vouches_for_are_judged_and_said(artifact: Path):
    result = run(artifact)
    assert result.exit_code == ExitCode.OK
    assert "not verified: the artifact is not signed" in result.stdout


def test_a_foreign_signature_needs_its_key(artifact: Path, tmp_path: Path):
    public = keys.create_key(tmp_path / "other.key")
    sign(artifact, KeySigner(keys.load_private(tmp_path / "other.key")))
    assert "signed with a key that is not yours" in run(artifact).stdout
    assert "not verified" not in run(artifact, "--key", public).stdout
    (artifact / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(IntegrityError):
        run(artifact, "--key", public)


def test_a_key_asks_for_a_signature(artifact: Path, tmp_path: Path):
    public = keys.create_key(tmp_path / "other.key")
    with pytest.raises(IntegrityError, match="not signed"):
        run(artifact, "--key", public)
    assert run(artifact / "report.json", "--key", public).exit_code == ExitCode.USAGE


def test_a_damaged_signature_is_never_skipped(artifact: Path):
    (artifact / "model.sig").write_text("{}")
    with pytest.raises(IntegrityError):
        run(artifact)


@pytest.mark.process
def test_gate_imports_no_framework(evidence: Callable[..., Path], tmp_path: Path):
    code = (
        "import sys; from mlopt.cli.app import run; code = run(sys.argv[1:]);"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'onnxsim'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    gates = write_gates(tmp_path, "- {metric: latency.p95_ms, max: 13}")
    command = [sys.executable, "-c", code, "gate", str(evidence(PASS)), "--gates", str(gates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (ExitCode.OK, "[]"), done


@pytest.mark.parametrize("gates", [(PASS,), (PASS, FAIL, UNDECIDED)])
def test_verdicts_are_a_table_in_every_format(evidence: Callable[..., Path], gates: tuple[Gate, ...]) -> None:
    path, verdicts = evidence(*gates), judged(*gates).gates
    shown = {format_: run(path, "--format", format_) for format_ in ("text", "md", "csv")}
    assert len({result.exit_code for result in shown.values()}) == 1
    assert shown["md"].stderr == shown["csv"].stderr == shown["text"].stdout
    rows = shown["md"].stdout.splitlines()
    assert rows[0] == "| verdict | gate | found |"
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {one.verdict}" for one in verdicts]
    told = list(csv.DictReader(io.StringIO(shown["csv"].stdout)))
    assert [(row["verdict"], row["metric"], row["limit"]) for row in told] == [
        (one.verdict, one.metric, one.limit) for one in verdicts
    ]
    assert float(told[0]["low"]) <= float(told[0]["value"]) <= float(told[0]["high"])


def test_json_contradicts_other_formats(evidence: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="--json and --format md contradict"):
        run(evidence(PASS), "--json", "--format", "md")


def test_a_table_is_not_mixed_with_annotations(evidence: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::error" in run(evidence(FAIL)).stdout
    assert "::error" not in run(evidence(FAIL), "--format", "csv").stdout
