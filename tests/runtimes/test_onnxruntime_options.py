"""How ONNX Runtime is told to open a model: what an artifact of a stranger may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions


@pytest.mark.parametrize(
    "said",
    [
        {"config_entries": {"session.load_model_format": "ORT"}},
        {"optimized_model_path": "/etc/passwd"},
        {"graph_optimization": "most"},
        {"device": "cuda:0"},
        {"threads": 0},
        {"threads": 100_000},
    ],
)
def test_what_mlopt_does_not_write_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OnnxRuntimeOptions.model_validate({"threads": 1, **said})


def test_what_earlier_versions_wrote_is_read() -> None:
    """They had session entries, and never used them: only none at all is what they wrote."""
    written = {"threads": 2, "device": "cpu", "graph_optimization": "all", "config_entries": {}}
    assert OnnxRuntimeOptions.model_validate(written) == OnnxRuntimeOptions(threads=2)
    assert "config_entries" in written  # what was given is left as it was


def test_options_are_read_as_they_are_written_and_do_not_change() -> None:
    options = OnnxRuntimeOptions(threads=3, device="cuda", graph_optimization="extended")
    assert OnnxRuntimeOptions.model_validate(options.model_dump(mode="json")) == options
    with pytest.raises(ValidationError, match="frozen"):
        options.threads = 1  # type: ignore[misc]
