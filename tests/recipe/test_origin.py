"""What a run read and ran with: digests only, and locks of earlier versions are read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mlopt.recipe.origin import Origin


def test_locks_of_earlier_versions_are_read() -> None:
    origin = Origin.model_validate({"mlopt": "0.1.0", "recipe": "ab" * 32, "sources": {}, "packages": {}})
    assert (origin.overrides, origin.started, origin.records) == ((), None, {})


@pytest.mark.parametrize("digest", ["", "ab" * 31, "AB" * 32, "ab" * 32 + "\n", "g" * 64])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    for changes in ({"recipe": digest}, {"sources": {"model": digest}}, {"records": {"onnx": digest}}):
        fields = {"mlopt": "0.1.0", "recipe": "ab" * 32, "sources": {}, "packages": {}} | changes
        with pytest.raises(ValidationError, match="match pattern"):
            Origin.model_validate(fields)
