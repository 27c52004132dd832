"""Reports and samples on disk: what is written is read back, and whatever else is read ends in one clear error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_example import EXAMPLE_RECIPE, example_report, example_samples

from mlopt import report as reports
from mlopt.core.errors import UserError

TEXT = reports.to_json(example_report())


def document() -> dict[str, Any]:
    return json.loads(TEXT)


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    reports.write(example_report(), tmp_path / "report.json")
    assert reports.read(tmp_path / "report.json") == example_report()
    assert reports.read(tmp_path) == example_report(), "an artifact directory names its report"


def test_the_json_has_the_keys_that_others_read(golden: Any) -> None:
    text = reports.to_json(example_report())
    assert list(json.loads(text))[:4] == ["schema", "name", "created", "objective"]
    assert json.loads(text)["steps"][0]["pass"] == "export"
    golden("report/report.json", text)


def test_samples_are_read_back_with_their_blocks_joined(tmp_path: Path) -> None:
    reports.write_samples(example_samples(), tmp_path / "samples.json")
    found = reports.read_samples(tmp_path / "samples.json")
    assert list(found) == list(example_samples())
    assert found["final"] == [value for block in example_samples()["final"] for value in block]


def test_blocks_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    reports.write_samples(example_samples(), tmp_path / "samples.json")
    assert reports.read_blocks(tmp_path / "samples.json") == example_samples()


def test_a_report_that_is_not_there_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no report here") as caught:
        reports.read(tmp_path)
    assert "mlopt optimize" in str(caught.value)
    assert str(tmp_path / "report.json") in str(caught.value)


def test_a_wrong_key_is_named_with_what_stands_there(tmp_path: Path) -> None:
    wrong = document()
    wrong["final"]["latency_ms"]["p50"] = "fast"
    wrong["speeedup"] = 3
    error = refusal(tmp_path, json.dumps(wrong))
    assert "final.latency_ms.p50: Input should be a valid number" in error
    assert "got       'fast'" in error
    assert "speeedup: Extra inputs are not permitted" in error
    assert "2 problem(s)" in error


def test_many_problems_are_counted_and_ten_are_shown(tmp_path: Path) -> None:
    error = refusal(tmp_path, json.dumps({str(number): 0 for number in range(50)}))
    assert error.count("\n") < 40
    assert "problem(s)" in error


def test_another_schema_is_refused(tmp_path: Path) -> None:
    assert "schema: Input should be 'mlopt.report/v1'" in refusal(
        tmp_path, json.dumps(document() | {"schema": "mlopt.report/v2"})
    )


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    old = f'"throughput_per_s": {document()["final"]["throughput_per_s"]}'
    assert old in TEXT
    assert "finite number" in refusal(tmp_path, TEXT.replace(old, f'"throughput_per_s": {number}'))
    (tmp_path / "samples.json").write_text(f'{{"final": {{"blocks": [[{number}]]}}}}')
    with pytest.raises(UserError, match=r"final\.blocks\.0\.0"):
        reports.read_samples(tmp_path / "samples.json")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (("data", "calibration"), "data.calibration.outer.1.inner: Input should be a finite number"),
        (("final", "options"), "final.options.outer.1.inner: "),
        (("references", "onnx_fp32", "options"), "references.onnx_fp32.options.outer.1.inner: "),
        (("steps", 0, "config"), "steps.0.config.outer.1.inner: "),
        (("steps", 0, "notes"), "steps.0.notes.outer.1.inner: "),
    ],
)
def test_such_a_number_is_found_in_the_parts_of_any_form_too(
    tmp_path: Path, keys: tuple[str | int, ...], named: str, number: str
) -> None:
    changed = document()
    place: Any = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = {"outer": [1.5, {"inner": "HERE"}]}
    error = refusal(tmp_path, json.dumps(changed).replace('"HERE"', number))
    assert named in error
    assert "1 problem(s)" in error


def test_a_whole_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    changed = json.dumps(document() | {"data": {"calibration": {"samples": "HERE"}}})
    assert "report" in refusal(tmp_path, changed.replace('"HERE"', "9" * 5000))


def test_a_report_of_nan_is_not_written(tmp_path: Path) -> None:
    report = example_report()
    broken = report.model_copy(update={"final": report.final.model_copy(update={"throughput_per_s": float("nan")})})
    with pytest.raises(ValueError, match="not JSON compliant"):
        reports.write(broken, tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "REPORT_LIMIT", 1 << 20)
    assert "too large" in refusal(tmp_path, " " * ((1 << 20) + 1))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "report.json")
    with pytest.raises(UserError, match="not a regular file"):
        reports.read(tmp_path / "report.json")


def test_an_unwritable_place_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        reports.write(example_report(), tmp_path / "none" / "report.json")


def test_the_recipe_is_optional_and_must_be_text(tmp_path: Path) -> None:
    assert reports.read_recipe(tmp_path) == ""
    (tmp_path / "recipe.lock.yaml").write_text(EXAMPLE_RECIPE)
    assert reports.read_recipe(tmp_path) == EXAMPLE_RECIPE
    (tmp_path / "recipe.lock.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        reports.read_recipe(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300) | st.text('[]{}":,0e-n\\u', max_size=300).map(str.encode))
def test_any_bytes_end_in_a_user_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.json"
    file.write_bytes(content)
    with pytest.raises(UserError):
        reports.read(file)


def test_deep_nesting_is_a_user_error(tmp_path: Path) -> None:
    assert "report" in refusal(tmp_path, '{"data": ' + "[" * 100_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_report_with_one_value_replaced_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    changed = document()
    place: Any = changed
    for _ in range(data.draw(st.integers(0, 3))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        inner = [key for key in keys if isinstance(place[key], (dict, list)) and place[key]]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(inner))]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    place[data.draw(st.sampled_from(keys))] = data.draw(JSON)
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(changed), encoding="utf-8")
    try:
        report = reports.read(file)
    except UserError:
        return
    reports.write(report, tmp_path / "again.json")
    assert reports.read(tmp_path / "again.json") == report


def refusal(folder: Path, text: str) -> str:
    (folder / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        reports.read(folder / "report.json")
    return str(caught.value)
