"""A project's defaults: where they are found, what they may say, and that everything else comes before them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlopt.cli.app import run
from mlopt.cli.doctor import settings_check
from mlopt.cli.runtime_option import with_runtime
from mlopt.cli.settings import NAME, PROJECT, ProjectSettings, load, use_cache_of
from mlopt.cli.signing_options import chosen_key
from mlopt.core.errors import ExitCode, UserError
from mlopt.recipe import overrides
from mlopt.recipe.yaml_reader import read_text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below which the work is done."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    return tmp_path


def test_without_a_file_nothing_is_said(project: Path) -> None:
    assert load() == ProjectSettings()
    assert "none" in settings_check(load()).found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (NAME, 'output = "out"\nkey = "~/k"\ncache = "/var/c"\nruntime = "openvino"\n'),
        (PROJECT, '[tool.mlopt]\noutput = "out"\nkey = "~/k"\ncache = "/var/c"\nruntime = "openvino"\n'),
    ],
)
def test_both_files_are_found_upwards_and_paths_start_from_them(project: Path, name: str, text: str) -> None:
    (project / name).write_text(text)
    found = load()
    assert found == ProjectSettings(project / "out", Path.home() / "k", Path("/var/c"), "openvino", project / name)
    told = settings_check(found).found
    assert all(each in told for each in (str(project / name), "runtime openvino", f"output {project / 'out'}"))


def test_the_nearest_counts_alone_and_a_file_that_says_nothing_is_none(project: Path) -> None:
    (project / NAME).write_text('runtime = "torch"\noutput = "x"\n')
    (project / "a" / PROJECT).write_text("[tool.other]\n[project]\nname = 'tool.mlopt'\n")
    assert load().runtime == "torch"
    (project / "a" / PROJECT).write_text('[tool.mlopt]\nruntime = "openvino"\n')
    assert (load().runtime, load().output) == ("openvino", None)
    (project / "a" / NAME).write_text('runtime = "onnxruntime"\n')
    assert load().runtime == "onnxruntime"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'runtme = "x"\nwhat = 1\n',
            [".mlopt.toml: runtme: there is no such setting", "did you mean 'runtime'?", "what"],
        ),
        ("runtime = 3\n", ["the setting is no text", 'runtime = "..."']),
        ('key = ""\n', ["the setting is no text"]),
        ("= 3\n", ["this is no TOML"]),
    ],
)
def test_everything_that_is_wrong_is_told_with_its_place(
    project: Path, text: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (project / NAME).write_text(text)
    with pytest.raises(UserError):
        load()
    assert run(["plan", "x.yaml"]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert all(each in shown for each in said)
    assert run(["--help"]) == ExitCode.OK


def test_what_everybody_can_write_to_is_not_used(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / NAME).write_text('runtime = "torch"\n')
    (project / NAME).chmod(0o666)
    assert load() == ProjectSettings()
    assert "is not used" in caplog.text


def test_a_runtime_of_the_settings_yields_to_an_option_and_to_a_recipe(project: Path) -> None:
    (project / NAME).write_text('runtime = "torch"\n')
    assert with_runtime(None, "") == ("target.runtime?=torch",)
    assert with_runtime(["a=1"], "onnxruntime") == ("a=1", "target.runtime=onnxruntime")
    for text, runtime in (
        ("target: {runtime: openvino}", "openvino"),
        ("target: {threads: 1}", "torch"),
        ("a: 1", "torch"),
    ):
        changed = overrides.apply(read_text(text, "r.yaml"), with_runtime(None, ""))
        assert changed.data["target"]["runtime"] == runtime


def test_a_key_of_the_settings_yields_to_an_option(project: Path) -> None:
    (project / NAME).write_text('key = "release.key"\n')
    assert chosen_key(None) == project / "release.key"
    assert chosen_key(Path("mine")) == Path("mine")


def test_a_cache_of_the_settings_yields_to_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.environ["MLOPT_CACHE"]
    use_cache_of(ProjectSettings(cache=project / "c"))
    assert os.environ["MLOPT_CACHE"] == before
    monkeypatch.delenv("MLOPT_CACHE")
    use_cache_of(ProjectSettings())
    assert "MLOPT_CACHE" not in os.environ
    monkeypatch.setenv("MLOPT_CACHE", "")
    monkeypatch.delenv("MLOPT_CACHE")
    use_cache_of(ProjectSettings(cache=project / "c"))
    assert os.environ["MLOPT_CACHE"] == str(project / "c")
