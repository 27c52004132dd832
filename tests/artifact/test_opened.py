"""An artifact is opened as it was measured, from what was verified, and nothing is left of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from signed_dense import WIDTH, signed_dense

from mlopt.artifact.opened import opened
from mlopt.core.errors import IntegrityError


def test_what_is_opened_is_told(tmp_path: Path) -> None:
    artifact = signed_dense(tmp_path)
    with opened(artifact, None) as found:
        copy = found.verified.directory
        assert copy != artifact
        assert found.deployable.model.path.is_relative_to(copy)
        assert found.deployable.options.threads == 1
        assert [spec.name for spec in found.session.inputs] == ["x"]
        assert found.session.run({"x": np.ones((1, WIDTH), np.float32)})["h1"].shape == (1, WIDTH)
    assert not copy.exists()


def test_an_older_one_than_is_asked_for_is_refused(tmp_path: Path) -> None:
    artifact = signed_dense(tmp_path)
    with pytest.raises(IntegrityError, match="older than what is asked for"), opened(artifact, None, min_version=2):
        pass
