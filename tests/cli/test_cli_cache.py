"""``mlopt cache``: what is kept, why a step would run again, and what is removed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from bench_models import dense
from typer.testing import CliRunner, Result

from mlopt.cli.cache import app
from mlopt.core.cache import Store, default_root
from mlopt.core.cache_entry import Key


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def keep(label: str, size: int, days: float = 0.0) -> Path:
    """Keep so many bytes that were used last so many days ago."""

    def make(out: Path) -> dict[str, str]:
        (out / "x").write_bytes(bytes(size))
        return {}

    entry, _ = Store(default_root()).fetch(Key("passes", label, {"label": label}), make)
    used = time.time() - days * 86400
    os.utime(entry.path, (used, used))
    return entry.path


def test_the_latest_used_is_listed_first() -> None:
    old, new = keep("net: 1 simplify", 100, days=2), keep("net: 2 fuse", 2_000_000)
    listed = json.loads(run("ls", "--json").stdout)
    assert [(each["label"], each["path"]) for each in listed] == [
        ("net: 2 fuse", str(new)), ("net: 1 simplify", str(old)),
    ]  # fmt: skip
    assert listed[0]["size_bytes"] > 2_000_000
    lines = run("ls").stdout.splitlines()
    assert "passes  net: 2 fuse" in lines[2]
    assert old.name[:12] in lines[3]
    assert lines[-1] == "2 entries, 2.0 MB"


def test_an_empty_cache_is_listed_and_cleaned_without_being_made() -> None:
    assert json.loads(run("ls", "--json").stdout) == []
    assert run("ls").stdout.splitlines()[-1] == "0 entries, 0.0 MB"
    assert run("gc").stdout == "removed 0 entries, 0.0 MB\n"
    assert not default_root().exists()


def test_a_label_does_nothing_to_the_terminal_and_is_shown_whole() -> None:
    keep("[bold]\x1b[31mnet\u200b!", 1)
    assert "passes [bold]\ufffd[31mnet\ufffd!" in " ".join(run("ls").stdout.split())


def test_what_was_not_used_for_long_is_removed_then_the_oldest_beyond_a_size() -> None:
    old, middle, new = (keep(str(days), 1_000_000, days) for days in (40, 10, 0))
    assert run("gc").stdout.startswith("removed 1 entries, 1.0 MB")
    assert [path.exists() for path in (old, middle, new)] == [False, True, True]
    assert run("gc", "--max-gb", "0.0015").stdout.startswith("removed 1 entries")
    assert [path.exists() for path in (middle, new)] == [False, True]
    run("gc", "--days", "0")
    assert not new.exists()


def test_why_each_step_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dense(tmp_path / "net.onnx")
    rows = json.loads(run("explain", "net.onnx", "--json", "--set", "passes=[simplify]").stdout)
    assert [(row["name"], row["cached"], row["why"]) for row in rows] == [
        ("source", True, "a file, used as it is"),
        ("evaluation", False, "not done before"),
        ("simplify", None, "depends on a step above that has to run"),
    ]
    assert "not done before" in run("explain", "net.onnx").stdout
