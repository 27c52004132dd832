"""The token of the admin API."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.core.errors import UserError
from mlopt.serve.token import VARIABLE, is_bearer, token_from

TOKEN = "a-token-that-is-long-enough"


def test_a_file_goes_before_the_environment_and_there_may_be_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert token_from(tmp_path / "token", {VARIABLE: "another-token-of-some-length"}) == TOKEN
    assert token_from(None, {VARIABLE: TOKEN}) == TOKEN
    assert token_from(None, {}) is None


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, "ä".encode() * 40, b"two\nlines" * 5])
def test_what_could_be_guessed_or_sent_in_no_header_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UserError) as caught:
        token_from(tmp_path / "token", {})
    assert caught.value.problems[0].where == str(tmp_path / "token")
    with pytest.raises(UserError, match="cannot be read"):
        token_from(tmp_path / "none", {})


@pytest.mark.parametrize("header", [None, "", TOKEN, f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN}x", "Bearer ä"])
def test_only_the_token_itself_opens(header: str | None) -> None:
    assert not is_bearer(header, TOKEN)


def test_the_scheme_is_read_in_any_case() -> None:
    assert is_bearer(f"bearer {TOKEN}", TOKEN)
