"""What is assessed: verified, with the report that was signed, and as `mlopt deploy` would take it."""

from __future__ import annotations

from pathlib import Path

import deployed
import pytest
from assessed import subject

from mlopt import report as reports
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, UserError
from mlopt.deploy.assessment.subject import AssessmentRequest, assessed
from mlopt.results.report import MadeBy, Report


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return deployed.artifact(tmp_path / "words")


def test_it_is_what_would_be_deployed(words: Path) -> None:
    found = assessed(AssessmentRequest(words))
    assert found.verified.root == verify(words).root
    assert found.content is not None
    assert (found.content.name, found.content.options.threads, found.refusal) == ("words", 1, None)


def test_what_no_engine_takes_is_a_result_with_its_reason(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopt.deploy.contents.RUNTIMES", ("openvino",))
    found = assessed(AssessmentRequest(words))
    assert found.content is None
    assert found.refusal is not None
    assert (found.refusal.what, found.refusal.got) == ("no engine here is written for this runtime", "onnxruntime")
    with pytest.raises(UserError, match="no engine here"):
        deployed.written(words.parent / "out", "triton", words)


def test_what_is_not_what_was_signed_is_not_assessed(words: Path) -> None:
    deployed.truncate(words / "model.onnx")
    with pytest.raises(IntegrityError, match="changed after it was signed"):
        assessed(AssessmentRequest(words))


def test_a_report_that_is_swapped_meanwhile_is_not_believed(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reports.read

    def swapped(path: Path) -> Report:
        found = read(path)
        path.chmod(0o644)
        path.write_text("{}")
        return found

    monkeypatch.setattr(reports, "read", swapped)
    with pytest.raises(IntegrityError, match="changed after it was verified"):
        assessed(AssessmentRequest(words))


def test_the_command_that_makes_it_again_is_the_reports() -> None:
    made = MadeBy(command=("mlopt", "optimize", "my net.yaml", "--quick", "--allow-code"), artifact="net")
    found = subject(report={"made_by": made})
    assert found.again() == "mlopt optimize 'my net.yaml' --quick --allow-code"
    assert found.again("--set", "a=[1, 4]", without="--quick") == (
        "mlopt optimize 'my net.yaml' --allow-code --set 'a=[1, 4]'"
    )
    assert subject().again() == "mlopt optimize mnist_cnn.yaml", "older reports do not say"


def test_verbs_are_told_whom_to_believe() -> None:
    asked = AssessmentRequest(Path("a b"), trusted=("--key", "k.pub"))
    assert (asked.words, asked.place) == ("'a b' --key k.pub", "'a b'")
