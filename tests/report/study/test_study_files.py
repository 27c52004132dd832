"""study.json: what is written is read back, and whatever else is read ends in one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_example import example_report
from study_example import BEST_RECIPE, example_study

from mlopt import report as reports
from mlopt.core.errors import OutputError, UserError
from mlopt.report import study
from mlopt.report.study import files

TEXT = study.to_json(example_study())


def refusal(folder: Path, content: str | bytes) -> str:
    file = folder / "study.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        study.read(file)
    return str(caught.value)


def test_all_three_are_written_and_the_record_is_read_back_with_its_recipe(tmp_path: Path) -> None:
    record = example_study(recipe="")
    study.write(record, tmp_path / "made" / "study", BEST_RECIPE)
    folder = tmp_path / "made" / "study"
    assert sorted(file.name for file in folder.iterdir()) == ["study.html", "study.json", "study.md"]
    assert study.read(folder) == study.read(folder / "study.json") == example_study()
    assert json.loads((folder / "study.json").read_text())["schema"] == "mlopt.study/v1"
    assert (folder / "study.md").read_text() == study.text(example_study(), "md")


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the study cannot be written"):
        study.write(example_study(), tmp_path / "file" / "below", "")


def test_a_study_is_told_from_a_report(tmp_path: Path) -> None:
    study.write(example_study(), tmp_path / "a", "")
    assert study.is_study(tmp_path / "a")
    assert study.is_study(tmp_path / "a" / "study.json")
    renamed = (tmp_path / "a" / "study.json").rename(tmp_path / "other.json")
    assert study.is_study(renamed)
    reports.write(example_report(), tmp_path / "report.json")
    assert not study.is_study(tmp_path / "report.json")
    (tmp_path / "study.json").write_text(TEXT)
    assert not study.is_study(tmp_path), "an artifact is shown as its report"
    assert not study.is_study(tmp_path / "nowhere")
    assert not study.is_study(tmp_path / ("x" * 5000))


def test_wrong_keys_are_named(tmp_path: Path) -> None:
    wrong = json.loads(TEXT)
    wrong["trials"][3]["status"] = "lost"
    wrong["speeed"] = 1
    error = refusal(tmp_path, json.dumps(wrong))
    assert "trials.3.status: Input should be 'measured', 'stopped' or 'failed'" in error
    assert "speeed: Extra inputs are not permitted" in error
    assert "2 problem(s)" in error


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize("key", ["latency_ms", "params", "options"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, key: str, number: str) -> None:
    wrong = json.loads(TEXT)
    wrong["trials"][0][key] = "HERE" if key == "latency_ms" else {"x": "HERE"}
    assert "number" in refusal(tmp_path, json.dumps(wrong).replace('"HERE"', number))


def test_other_files_are_named(tmp_path: Path) -> None:
    assert "this is a report of mlopt, where a study belongs" in refusal(tmp_path, reports.to_json(example_report()))
    assert "a report of mlopt" not in refusal(tmp_path, '{"a": 1}')
    with pytest.raises(UserError, match="there is no study here"):
        study.read(tmp_path / "nowhere")
    (tmp_path / "folder" / "study.json").mkdir(parents=True)
    with pytest.raises(UserError, match="not a regular file"):
        study.read(tmp_path / "folder")


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = json.loads(TEXT)
    many["trials"] = many["trials"][:1] * 2001
    assert "at most 2000" in refusal(tmp_path, json.dumps(many))
    monkeypatch.setattr(files, "LIMIT", 1 << 20)
    assert "too large" in refusal(tmp_path, " " * ((1 << 20) + 1))


def test_another_form_is_refused() -> None:
    with pytest.raises(UserError, match="a study is not written as svg"):
        study.text(example_study(), "svg")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, data: Any) -> None:
    """Whatever is read can be shown in every form."""
    document = json.loads(TEXT)
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    odd = st.sampled_from([None, True, -1, 0, 2**60, 1e300, -1e-300, "", "x" * 999, [], {}, [[]], {"a": [1]}, [0, 1]])
    place[key] = data.draw(odd)
    file = tmp_path / "study.json"
    file.write_text(json.dumps(document))
    try:
        record = study.read(file)
    except UserError:
        return
    assert study.told(record)
    assert study.text(record, "md")
    assert json.loads(study.text(record, "json"))
    assert "<!doctype html>" in study.text(record, "html")
