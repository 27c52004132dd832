"""One document from the server that was named, and from no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from one_answer import answering

from mlopt.core.errors import UserError
from mlopt.core.fetch import fetch, is_url, read_file


@pytest.mark.parametrize(("text", "yes"), [
    ("http://a:1/x", True), ("HTTPS://a", True), ("ftp://a", False), ("file:///etc/passwd", False),
    ("report.json", False),
])  # fmt: skip
def test_what_names_a_document_on_a_server(text: str, yes: bool) -> None:
    assert is_url(text) is yes


def test_the_body_comes_back_and_the_token_goes_along() -> None:
    with answering(200, b"hello") as server:
        assert fetch(f"{server.url}/a/b?c=d", token="secret") == b"hello"
        assert fetch(server.url) == b"hello"
        assert server.asked == [("/a/b?c=d", "Bearer secret"), ("/", None)]


def test_nobody_is_sent_elsewhere() -> None:
    with answering(200, b"elsewhere") as other, answering(302, b"", ("Location", f"{other.url}/x")) as server:
        with pytest.raises(UserError, match="refuses"):
            fetch(server.url, token="secret")
        assert other.asked == []


@pytest.mark.parametrize(("status", "word"), [(401, "--admin-token-file"), (404, "404"), (500, "500")])
def test_any_other_answer_is_a_refusal(status: int, word: str) -> None:
    with answering(status, b"no") as server, pytest.raises(UserError, match="refuses") as caught:
        fetch(server.url)
    assert word in str(caught.value)


def test_more_than_asked_for_is_not_read() -> None:
    with answering(200, b"x" * 2000) as server, pytest.raises(UserError, match="too large"):
        fetch(server.url, limit=1000)


def test_nobody_there_is_said_so() -> None:
    with answering(200, b"") as server:
        url = server.url
    with pytest.raises(UserError, match="does not answer"):
        fetch(url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http://me:secret@127.0.0.1/", "http://127.0.0.1:no/"])
def test_an_address_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        fetch(url)


def test_a_file_that_cannot_be_read_is_told_with_a_way_out(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"123456")
    assert read_file(large, "the scrape", 6) == b"123456"
    for path, limit in ((tmp_path / "none", 9), (tmp_path, 9), (large, 5)):
        with pytest.raises(UserError, match="the scrape") as caught:
            read_file(path, "the scrape", limit)
        (problem,) = caught.value.problems
        assert (problem.where, bool(problem.fix)) == (str(path), True)
