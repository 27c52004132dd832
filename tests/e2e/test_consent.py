"""What the user agreed to run is what ran: its digests are on record, and a change in between is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from small_graphs import BRIEFLY, write_classifier

from mlopt.core.errors import ModelError
from mlopt.run.optimize import execute
from mlopt.run.request import Request

RECIPE = """
apiVersion: mlopt/v1
name: net
model: {source: ./classifier.onnx}
data: {evaluation: {source: ./x.npz}}
metric: {name: './metric.py:score'}
passes: [simplify]
gates: []
"""
METRIC = "import helper_of_metric\n\ndef score(outputs, labels, reference):\n    return helper_of_metric.VALUE\n"


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A run with Python in two files."""
    monkeypatch.chdir(tmp_path)
    write_classifier(tmp_path)
    Path("metric.py").write_text(METRIC)
    Path("helper_of_metric.py").write_text("VALUE = 1.0\n")
    Path("net.yaml").write_text(RECIPE)
    return Request(source=Path("net.yaml"), overrides=BRIEFLY, sign=False, allow_code=True)


def test_every_file_that_ran_is_in_the_lock(request_: Request) -> None:
    artifact = execute(request_)
    sources = yaml.safe_load((artifact.path / "recipe.lock.yaml").read_text())["lock"]["sources"]
    for name in ("metric.py", "helper_of_metric.py"):
        assert sources[f"file {name}"] == hashlib.sha256(Path(name).read_bytes()).hexdigest()
    lines = "".join(f"{sources[f'file {name}']}  {name}\n" for name in ("metric.py", "helper_of_metric.py"))
    assert sources["code of metric.name"] == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("file", "where"),
    [("metric.py", "code of metric.name"), ("helper_of_metric.py", "code of metric.name"), ("classifier.onnx", None)],
)
def test_a_change_during_the_run_is_noticed(file: str, where: str | None, request_: Request) -> None:
    def change(stage: str, _detail: str, _share: float | None) -> None:
        if stage == "judge":
            path = Path(file)
            end = b"\n# changed\n" if path.suffix == ".py" else b"\x10\x01"  # the end of a protobuf: an unknown field
            path.write_bytes(path.read_bytes() + end)

    with pytest.raises(ModelError, match="it changed while the run used it") as caught:
        execute(request_, change)
    assert caught.value.problems[0].where == (where or str(Path(file).resolve()))
    assert not Path("artifacts/net").exists()
