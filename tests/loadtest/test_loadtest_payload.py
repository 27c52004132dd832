"""Requests and the artifact's own answers to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import predicted
import pytest

from mlopt.core.errors import DataError, IntegrityError
from mlopt.formats.model import TensorSpec
from mlopt.loadtest import payload
from mlopt.loadtest.from_recipe import RecipeSamples
from mlopt.loadtest.payload import PayloadWanted
from mlopt.protocol.messages import HEADER_LENGTH, read_request

SPECS = (TensorSpec("ids", "int64", ("batch", 3)), TensorSpec("x", "float32", ("batch",)))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return predicted.artifact(tmp_path / "words")


def asked(found: payload.Payload, number: int = 0) -> dict[str, np.ndarray]:
    message = found.messages[number]
    return read_request(message.body, message.headers.get(HEADER_LENGTH)).inputs


def test_real_samples_are_asked_and_answered_here(artifact: Path, tmp_path: Path) -> None:
    rows = predicted.rows(10)
    np.savez(tmp_path / "rows.npz", **rows)
    found = payload.of_artifact(artifact, None, PayloadWanted(tmp_path / "rows.npz", 2, 4))
    assert len(found.messages) == 4
    assert np.array_equal(asked(found, 1)["ids"], rows["ids"][2:4])
    assert found.expected is not None
    assert np.array_equal(found.expected[1]["embedding"], predicted.TABLE[rows["ids"][2:4]])
    assert found.source == str(tmp_path / "rows.npz")
    assert found.name == "words"
    assert found.digest is not None
    assert len(found.digest) == 64
    assert not any("made up" in note for note in found.notes)


def test_without_data_the_samples_are_made_up_and_said_to_be(artifact: Path) -> None:
    found = payload.of_artifact(artifact, None, PayloadWanted(None, 1, 64))
    assert found.source == "made up"
    assert any("made up" in note for note in found.notes)
    assert found.expected is not None
    assert len(found.expected) == len(found.messages) > 1


def test_an_artifact_that_was_changed_is_not_asked(artifact: Path) -> None:
    (artifact / "model.onnx").write_bytes(b"another")
    with pytest.raises(IntegrityError):
        payload.of_artifact(artifact, None, PayloadWanted(None, 1, 64))


def test_the_metadata_alone_do_for_requests_but_not_for_answers() -> None:
    found = payload.of_server(SPECS, PayloadWanted(None, 3, 5))
    assert asked(found)["ids"].shape == (3, 3)
    assert asked(found)["x"].dtype == np.float32
    assert (found.expected, found.digest) == (None, None)
    assert "not held against anything" in found.checked


def test_a_folder_of_arrays_is_read_without_its_labels(tmp_path: Path) -> None:
    rows = predicted.rows(6)
    for name, array in {**rows, "labels": np.arange(6)}.items():
        np.save(tmp_path / f"{name}.npy", array)
    found = payload.of_server(SPECS, PayloadWanted(tmp_path, 1, 64))
    assert len(found.messages) == 6
    assert np.array_equal(asked(found, 5)["ids"], rows["ids"][5:])


def test_a_single_array_is_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(12, dtype=np.int64).reshape(4, 3))
    found = payload.of_server(SPECS[:1], PayloadWanted(tmp_path / "rows.npy", 1, 3))
    assert [asked(found, number)["ids"].tolist() for number in range(3)] == [[[0, 1, 2]], [[3, 4, 5]], [[6, 7, 8]]]
    with pytest.raises(DataError):
        payload.of_server(SPECS, PayloadWanted(tmp_path / "rows.npy", 1, 3))


def test_data_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", ids=np.zeros((4, 3), np.int64))
    with pytest.raises(DataError, match="no array for input 'x'"):
        payload.of_server(SPECS, PayloadWanted(tmp_path / "rows.npz", 1, 64))
    with pytest.raises(DataError, match="does not exist"):
        payload.of_server(SPECS, PayloadWanted(tmp_path / "gone.npz", 1, 64))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/ids.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"no array as numpy\.save"):
        payload.of_server(SPECS, PayloadWanted(tmp_path / "bad", 1, 64))


RECIPE = """\
apiVersion: mlopt/v1
name: words
model: {source: ./words.onnx}
data: {evaluation: {source: ./rows.npz}}
passes: [simplify]
"""


@pytest.mark.process
def test_samples_of_a_recipe_are_asked_and_said_to_be(artifact: Path, tmp_path: Path) -> None:
    rows = predicted.rows(10)
    np.savez(tmp_path / "rows.npz", **rows)
    predicted.words(tmp_path / "words.onnx")
    (tmp_path / "words.yaml").write_text(RECIPE)
    wanted = PayloadWanted(None, 2, 3, RecipeSamples(tmp_path / "words.yaml", allow_code=False))
    found = payload.of_artifact(artifact, None, wanted)
    assert len(found.messages) == 3
    asked_rows = np.concatenate([asked(found, number)["x"] for number in range(3)]).astype(int)
    assert len(set(asked_rows)) == 6
    assert np.array_equal(asked(found, 2)["ids"], rows["ids"][asked_rows[4:]])
    assert found.source == f"evaluation data of {tmp_path / 'words.yaml'}"
    assert found.notes == ()
    assert found.expected is not None
    assert np.array_equal(found.expected[0]["embedding"], predicted.TABLE[rows["ids"][asked_rows[:2]]])
    alone = payload.of_server(SPECS, wanted)
    assert np.array_equal(asked(alone, 2)["ids"], asked(found, 2)["ids"])
    assert alone.expected is None


@pytest.mark.process
def test_a_model_of_a_fixed_batch_gets_whole_ones_of_a_recipe(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", ids=np.arange(60, dtype=np.int64).reshape(20, 3))
    predicted.words(tmp_path / "words.onnx")
    (tmp_path / "words.yaml").write_text(RECIPE)
    wanted = PayloadWanted(None, 1, 3, RecipeSamples(tmp_path / "words.yaml", allow_code=False))
    found = payload.of_server([TensorSpec("ids", "int64", (5, 3))], wanted)
    assert [asked(found, number)["ids"].shape for number in range(3)] == [(5, 3)] * 3
    assert len({tuple(row) for number in range(3) for row in asked(found, number)["ids"].tolist()}) == 15
