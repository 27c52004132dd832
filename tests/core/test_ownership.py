"""Whose a file is, from its status alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlopt.core.ownership import distrusted

ME, STRANGER = os.geteuid(), 54_321


def status(owner: int, mode: int = 0o100644) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, owner, owner, 0, 0, 0, 0))


def test_who_becomes_root_is_still_himself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert distrusted(status(1000)) is None
    monkeypatch.delenv("SUDO_UID")
    assert distrusted(status(1000)) == "it belongs to another user (uid 1000)"


def test_who_only_says_that_he_became_root_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert distrusted(status(1000)) is not None
    assert distrusted(status(1001)) is None


@pytest.mark.parametrize("given", ["", "-1", "x", "1e3"])
def test_an_odd_number_of_a_user_is_nobody(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", given)
    assert distrusted(status(1000)) is not None
    assert distrusted(status(0)) is None


@pytest.mark.parametrize("owner", [ME, 0])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o4755])
def test_ones_own_file_and_roots_are_trusted_whoever_reads_them(owner: int, mode: int) -> None:
    assert distrusted(status(owner, 0o100000 | mode)) is None


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o1777])
def test_what_a_group_or_others_can_write_to_is_not(mode: int) -> None:
    assert distrusted(status(ME, 0o100000 | mode)) == f"others can write to it (mode {mode:04o})"


def test_a_strangers_file_is_not_even_if_nobody_can_write_to_it() -> None:
    assert distrusted(status(STRANGER, 0o100400)) == f"it belongs to another user (uid {STRANGER})"
