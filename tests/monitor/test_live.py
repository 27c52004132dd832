"""Live sketches from files and servers: of the artifact that is asked about, and of no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from one_answer import answering
from sketched import artifact, document

from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import DataError, IntegrityError, UserError
from mlopt.monitor.live import read_all, read_given, read_live, reference_of
from mlopt.sketches import SKETCHES, write

DIGEST, OTHER = "d" * 64, "e" * 64


def plain(digest: str, count: int = 30) -> object:
    return json.loads(write(document(count, digest=digest)))


def test_an_artifact_gives_what_it_holds(tmp_path: Path) -> None:
    held = document(100)
    assert reference_of(verify(artifact(tmp_path / "digits", held))) == held


def test_an_artifact_without_sketches_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sketches") as caught:
        reference_of(verify(artifact(tmp_path / "digits", None)))
    assert "--reference FILE" in str(caught.value)


def test_what_changed_after_it_was_verified_is_not_believed(tmp_path: Path) -> None:
    verified: Verified = verify(artifact(tmp_path / "digits", document(100)))
    (tmp_path / "digits" / SKETCHES).write_bytes(write(document(100, 1)))
    with pytest.raises(IntegrityError, match="changed after it was verified"):
        reference_of(verified)


def test_a_file_holds_one_document_or_those_of_a_server(tmp_path: Path) -> None:
    file = tmp_path / "live.json"
    file.write_bytes(write(document(30)))
    assert read_live(str(file), DIGEST, "digits") == read_given(file) == document(30)
    file.write_text(json.dumps({OTHER: plain(OTHER), DIGEST: plain(DIGEST, 40)}))
    assert read_live(str(file), DIGEST, "digits").rows == 40


def test_sketches_of_another_artifact_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "live.json"
    for content in (plain(OTHER), {OTHER: plain(OTHER)}, {}):
        file.write_text(json.dumps(content))
        with pytest.raises(UserError, match="another artifact"):
            read_live(str(file), DIGEST, "digits")


@pytest.mark.parametrize("content", [b"nothing", b"[]", b"[" * 100_000, json.dumps({DIGEST: 3}).encode()])
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "live.json").write_bytes(content)
    with pytest.raises(DataError):
        read_live(str(tmp_path / "live.json"), DIGEST, "digits")
    with pytest.raises(UserError, match="cannot be read"):
        read_live(str(tmp_path / "absent.json"), DIGEST, "digits")


def test_a_server_is_asked_for_the_model_by_its_admin_api() -> None:
    with answering(200, json.dumps({DIGEST: plain(DIGEST)}).encode()) as server:
        assert read_live(server.url, DIGEST, "my model", "secret").rows == 30
        assert read_live(f"{server.url}/elsewhere", DIGEST, "m").rows == 30
    assert server.asked == [("/admin/models/my%20model/sketches", "Bearer secret"), ("/elsewhere", None)]


def test_several_are_merged(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.json").write_text(json.dumps(plain(DIGEST, 30 + number)))
    assert read_all([str(tmp_path / "0.json"), str(tmp_path / "1.json")], DIGEST, "m").rows == 61
