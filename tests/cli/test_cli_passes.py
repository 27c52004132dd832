from __future__ import annotations

import json

import pytest

from mlopt.cli.app import run
from mlopt.cli.passes import describe
from mlopt.passes.table import table


def test_the_list_has_every_pass_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["passes", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(table())


def test_people_see_what_each_pass_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["passes"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in table())
    assert "stay the same" in out


def test_one_pass_shows_its_keys_with_types_defaults_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["passes", "export", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == {
        "opset": {"type": "integer >= 11 <= 23", "default": 20, "description": "version of the ONNX operators"},
        "exporter": {
            "type": "auto | dynamo | torchscript",
            "default": "auto",
            "description": "dynamo (torch.export), torchscript, or auto: dynamo where it works",
        },
    }


@pytest.mark.parametrize("name", list(table()))
def test_every_pass_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["passes", name]) == 0
    assert "->" in capsys.readouterr().out
    for key, entry in describe(table()[name])["config"].items():
        assert entry["description"], f"{name}.{key} has no description"
        assert "any" not in entry["type"].split(), f"{name}.{key} has no type"


def test_an_unknown_name_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["passes", "expert"]) == 2
    assert "did you mean 'export'?" in capsys.readouterr().err
