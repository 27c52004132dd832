"""Artifacts loaded: only what was signed and is wanted, and nothing is left of what is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
import served_artifacts
from virtual_time import Inline

from mlopt.artifact.signing import keys
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, ModelError
from mlopt.serve.loading import Wanted, load
from mlopt.serve.models import LoadedModel

_open: list[LoadedModel] = []


def loaded(directory: Path, **changes: Any) -> LoadedModel:
    found = load(Wanted(directory, **changes), Inline())
    _open.append(found)
    return found


@pytest.fixture(autouse=True)
def all_are_closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def copies() -> list[str]:
    return [each.name for each in Path(tempfile.gettempdir()).glob("mlopt-model-*")]


def test_what_was_signed_is_open_and_its_copy_goes_when_it_is_closed(tmp_path: Path) -> None:
    (artifact,) = served_artifacts.versions(tmp_path, 2.0)
    found = loaded(artifact)
    assert (found.name, found.version, found.digest) == ("words", 1, verify(artifact).root)
    ids = np.array([[1, 2, 3]])
    assert np.array_equal(found.run({"ids": ids})["embedding"], predicted.TABLE[ids] * 2)
    assert found.joining is not None
    assert found.limits.max_batch == 8
    assert found.slack.keys() == {"embedding"}
    assert len(copies()) == 1
    (artifact / "model.onnx").write_bytes(b"hostile")
    assert np.array_equal(found.run({"ids": ids})["embedding"], predicted.TABLE[ids] * 2), "what runs is the copy"
    found.close()
    assert copies() == []


def test_what_is_not_wanted_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    first, second = served_artifacts.versions(tmp_path, 2.0, 3.0)
    assert loaded(second, digest=verify(second).root, min_version=2).version == 2
    with pytest.raises(IntegrityError, match="another one than what is asked for"):
        loaded(first, digest=verify(second).root)
    with pytest.raises(IntegrityError, match="older than what is asked for"):
        loaded(first, min_version=2)
    with pytest.raises(IntegrityError):
        loaded(first, trust=KeyTrust(keys.load_public(keys.public_path(keys.create_key(tmp_path / "other.key")))))
    model = first / "model.onnx"
    model.write_bytes(model.read_bytes()[:-50])
    with pytest.raises(IntegrityError, match="changed after it was signed"):
        loaded(first)
    assert len(copies()) == 1, "of the one that is open"


def test_a_model_whose_rows_see_each_other_runs_one_request_at_a_time_and_says_so(tmp_path: Path) -> None:
    found = loaded(predicted.artifact(tmp_path / "rows", served_artifacts.over_rows))
    assert found.joining is None
    assert found.limits.max_batch == 1
    assert found.said[0] == "not joined it answers rows together otherwise than alone"
    assert "its first axis is fixed" in loaded(predicted.artifact(tmp_path / "fixed", served_artifacts.fixed)).said[0]


def test_a_type_that_the_protocol_cannot_carry_is_an_error_before_anything_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlopt.protocol.tensors import ProtocolError
    from mlopt.serve import loading

    def none(dtype: str) -> str:
        raise ProtocolError("the protocol has no such type", got=dtype)

    monkeypatch.setattr(loading, "datatype_of", none)
    with pytest.raises(ModelError, match="cannot carry"):
        loaded(served_artifacts.versions(tmp_path, 2.0)[0])
    assert copies() == []
