"""``mlopt report``: the summary, or the report in other formats, on the screen or in a file."""

from __future__ import annotations

import json
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
import typer
from report_example import EXAMPLE_RECIPE, example_report, example_samples
from study_example import BEST_RECIPE, example_study

from mlopt import report as reports
from mlopt.cli.report import report
from mlopt.core.errors import OutputError, UserError


def run(*arguments: str | Path) -> None:
    """Call the verb as the program does, up to the boundary that turns errors into text."""
    app = typer.Typer()
    app.command()(report)
    typer.main.get_command(app).main([str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    folder.mkdir()
    reports.write(example_report(), folder / "report.json")
    reports.write_samples(example_samples(), folder / "samples.json")
    (folder / "recipe.lock.yaml").write_text(EXAMPLE_RECIPE)
    return folder


def test_without_a_format_the_summary_is_shown(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(artifact))
    assert "1.78x as fast as onnx_fp32" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"]])
def test_json_is_the_report_itself(artifact: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run(str(artifact / "report.json"), *arguments)
    assert json.loads(capsys.readouterr().out) == json.loads((artifact / "report.json").read_text())


@pytest.mark.parametrize(
    ("name", "begin"), [("out.html", "<!doctype html>"), ("out.md", "# mnist_cnn: FAIL"), ("out.json", "{")]
)
def test_the_ending_of_the_file_is_its_format(artifact: Path, tmp_path: Path, name: str, begin: str) -> None:
    run(str(artifact), "-o", str(tmp_path / name))
    assert (tmp_path / name).read_text().startswith(begin)


def test_the_page_shows_the_samples_and_the_recipe_beside_the_report(artifact: Path, tmp_path: Path) -> None:
    run(str(artifact), "-o", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "How latency is spread" in page
    assert "apiVersion: mlopt/v1" in page


def test_without_samples_the_page_has_one_picture_less(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (artifact / "samples.json").unlink()
    run(str(artifact), "-o", str(tmp_path / "page.html"))
    assert "no samples.json" in capsys.readouterr().err
    assert "How latency is spread" not in (tmp_path / "page.html").read_text()


def test_samples_are_never_read_from_elsewhere(artifact: Path) -> None:
    final = example_report().final.model_copy(update={"raw": "../secret.json"})
    reports.write(example_report(final=final), artifact / "report.json")
    with pytest.raises(UserError, match="not beside the report"):
        run(artifact, "--format", "html")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["-o", "out.pdf"], UserError, "the format of the report is not known"),
        (["--json", "--format", "md"], UserError, "contradict each other"),
        (["-o", "no/such/folder/out.md"], OutputError, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(
    artifact: Path, arguments: list[str], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(artifact, *arguments)


@pytest.mark.process
def test_the_summary_needs_no_heavy_library(artifact: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlopt.cli.report import report; report(Path(sys.argv[1]));"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code, artifact], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to show."""
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: asked.append(url) is None)
    return asked


def test_a_browser_shows_what_is_written_or_what_lies_in_the_artifact(artifact: Path, opened: list[str]) -> None:
    written = artifact.parent / "a page.html"
    run(artifact, "-o", written, "--open")
    (artifact / "report.html").write_text("<p>here</p>")
    run(artifact, "--open")
    assert opened == [written.as_uri(), (artifact / "report.html").as_uri()]
    assert written.exists()


@pytest.mark.parametrize("arguments", [[], ["--format", "html"], ["--format", "md"], ["-o", "x.json"]])
def test_where_there_is_no_page_that_is_told(artifact: Path, opened: list[str], arguments: list[str]) -> None:
    with pytest.raises(UserError, match=r"no page to open|a browser shows no"):
        run(artifact, "--open", *arguments)
    assert opened == []


def test_where_there_is_no_browser_the_file_is_named(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    with pytest.raises(UserError, match=r"page\.html: no browser could be started"):
        run(artifact, "-o", artifact.parent / "page.html", "--open")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    from mlopt.report.study import write

    write(example_study(), tmp_path / "tuned", BEST_RECIPE)
    return tmp_path / "tuned"


def test_a_study_is_shown_as_its_summary(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in (study, study / "study.json"):
        run(source)
        assert "is 2.03x (1.99x to 2.07x) as fast as the recipe's own chain" in capsys.readouterr().out


@pytest.mark.parametrize(("form", "begin"), [("html", "<!doctype html>"), ("md", "# sentence_encoder"), ("json", "{")])
def test_a_study_is_written_in_each_form(
    study: Path, tmp_path: Path, form: str, begin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(study, "--format", form)
    assert capsys.readouterr().out.rstrip("\n") == (study / f"study.{form}").read_text().rstrip("\n")
    run(study, "-o", tmp_path / f"out.{form}")
    assert (tmp_path / f"out.{form}").read_text().startswith(begin)


def test_a_study_has_no_card(study: Path) -> None:
    with pytest.raises(UserError, match="a study is not written as svg"):
        run(study, "--format", "svg")


def test_the_page_of_a_study_is_opened(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    run(study, "--open")
    assert opened == [(study / "study.html").resolve().as_uri()]
