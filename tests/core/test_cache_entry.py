"""An entry of the cache: what its fingerprint is made of, and that only a whole one of this user is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopt.core.cache_entry import Key, content_of, differences, digests_of, read_entry


def key(**parts: object) -> Key:
    return Key("passes", "mnist: 2 quantize", parts)


def test_any_part_changes_the_fingerprint() -> None:
    prints = {key(a=1).fingerprint, key(a=2).fingerprint, key(b=1).fingerprint, Key("data", "", {"a": 1}).fingerprint}
    assert len(prints) == 4
    assert key(a=1, b=2).fingerprint == key(b=2, a=1).fingerprint


def test_a_label_is_for_people_alone() -> None:
    assert Key("passes", "one", {"a": 1}).fingerprint == Key("passes", "other", {"a": 1}).fingerprint


def test_differences_show_what_came_and_went() -> None:
    assert differences({"a": 1}, {"b": 2}) == ["a: 1 -> None", "b: None -> 2"]


def test_of_digests_only_the_change_is_told() -> None:
    assert differences({"d": {"x": "a" * 64}, "n": 1}, {"d": {"x": "b" * 64}, "n": 1}) == ["d.x changed"]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """An entry as the cache writes it."""
    made = key(opset=20)
    path = tmp_path / "passes" / made.fingerprint
    (path / "out" / "deep").mkdir(parents=True)
    (path / "out" / "deep" / "model.onnx").write_bytes(b"ours")
    path.parent.chmod(0o700)
    path.chmod(0o700)
    files = digests_of(path / "out")
    assert files is not None
    (path / "entry.json").write_text(content_of(made, {"path": "deep/model.onnx"}, files))
    return path


def test_an_entry_is_read_as_it_was_written(stored: Path) -> None:
    found = read_entry(stored)
    assert found is not None
    assert (found.label, found.parts, found.result) == (
        "mnist: 2 quantize", {"opset": 20}, {"path": "deep/model.onnx"},
    )  # fmt: skip
    assert found.files == {"deep/model.onnx": hashlib.sha256(b"ours").hexdigest()} == digests_of(found.out)


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        content = json.loads((path / "entry.json").read_text())
        change(content)
        (path / "entry.json").write_text(json.dumps(content))

    return edit


SPOILT: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: (path / "entry.json").unlink(),
    "cut short": lambda path: (path / "entry.json").write_text('{"label": "m'),
    "no object": lambda path: (path / "entry.json").write_text("[]"),
    "deep": lambda path: (path / "entry.json").write_text("[" * 100_000),
    "another result": edited(lambda content: content.update(result={"path": "evil.onnx"})),
    "a field too many": edited(lambda content: content.update(path="/etc")),
    "without a digest": edited(lambda content: content.pop("digest")),
    "open to others": lambda path: path.chmod(0o777),
    "a group open to others": lambda path: path.parent.chmod(0o770),
    "entry.json is a folder": lambda path: ((path / "entry.json").unlink(), (path / "entry.json").mkdir()),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_is_not_as_it_was_written_is_no_entry(stored: Path, spoil: Callable[[Path], object]) -> None:
    spoil(stored)
    assert read_entry(stored) is None


def test_an_entry_under_another_ones_name_is_none(stored: Path) -> None:
    moved = stored.rename(stored.with_name(key(opset=18).fingerprint))
    assert read_entry(moved) is None
    assert read_entry(moved.rename(stored)) is not None


def test_no_digest_is_taken_through_a_link(stored: Path) -> None:
    (stored / "out" / "link").symlink_to("deep/model.onnx")
    assert digests_of(stored / "out") is None
    assert digests_of(stored / "nowhere") == {}
