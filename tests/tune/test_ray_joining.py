"""Joining a cluster: what cannot be joined is said at once, and Ray itself is not asked."""

from __future__ import annotations

import socket
import sys

import pytest

from mlopt.core.errors import MissingPackage, UserError
from mlopt.tune.ray_joining import _in_words, joined


@pytest.mark.parametrize("address", ["auto", "local", "ray://127.0.0.1:10001", "127.0.0.1", ":6379", "", "host:port"])
def test_a_cluster_is_named_by_host_and_port(address: str) -> None:
    with pytest.raises(UserError, match="this is no address of a cluster"), joined(address):
        pass


def test_where_nobody_answers_that_is_said_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UserError, match="no cluster of Ray answers") as caught, joined(address):
            pass
    assert "docs/ray.md" in (caught.value.problems[0].fix or "")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MissingPackage, match="Ray is not installed") as caught, joined(address):
            pass
    assert "ray" in (caught.value.problems[0].fix or "")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 2.50.0"), "another version of Ray"),
        (RuntimeError("Maybe you called ray.init twice by accident?"), "joined a cluster already"),
        (ConnectionError("Could not find any running Ray instance"), "cannot be joined from here"),
    ],
)
def test_what_ray_says_becomes_an_error_with_a_way_out(error: Exception, what: str) -> None:
    problem = _in_words(error, "10.0.0.1:6379").problems[0]
    assert what in problem.what
    assert problem.where == "10.0.0.1:6379"
    assert problem.fix
    assert "\n" not in (problem.got or "")
