"""What the options of a rollout come to: a target and a ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_world import A, MemoryTarget, a_book, own_signer

from mlopt.cli import rollout_options as options
from mlopt.cli.rollout_options import TargetKind
from mlopt.core.errors import UserError
from mlopt.rollout import traffic
from mlopt.rollout.conduct import Wish, note
from mlopt.rollout.credential import ADMIN_TOKEN


def test_each_kind_of_target(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    names = [
        options.target(TargetKind.EMBEDDED, "https://example.org", "digits", token).name,
        options.target(TargetKind.ENVOY, "http://127.0.0.1:9901/", "digits", None).name,
        options.target(TargetKind.REGISTRY, "example.org/digits:live", "digits", None).name,
    ]
    assert names == [
        "embedded https://example.org", "envoy http://127.0.0.1:9901", "registry example.org/digits:live"
    ]  # fmt: skip


def test_without_a_token_or_a_private_way_there_is_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADMIN_TOKEN, raising=False)
    with pytest.raises(UserError, match="token is missing"):
        options.target(TargetKind.EMBEDDED, "http://127.0.0.1:1", "digits", None)
    for kind in (TargetKind.EMBEDDED, TargetKind.ENVOY):
        with pytest.raises(UserError, match="open to others"):
            options.target(kind, "http://example.org", "digits", None)


def test_the_ledger_is_signed_with_ones_own_key(tmp_path: Path) -> None:
    book = options.book(tmp_path / "rollout.jsonl", None, None, None)
    assert book.signer.name == own_signer().name


def test_the_model_is_the_only_one_that_the_ledger_has(tmp_path: Path) -> None:
    book, target = a_book(tmp_path), MemoryTarget.holding(a=100)
    at = target.name.removeprefix("embedded ")
    with pytest.raises(UserError, match="not named"):
        options.known_model(book, TargetKind.EMBEDDED, at, None)
    note(target, book, Wish("hold", A, "", lambda _: traffic.TrafficPlan()))
    assert options.known_model(book, TargetKind.EMBEDDED, f"{at}/", None) == "digits"
    assert options.known_model(book, TargetKind.EMBEDDED, at, "else") == "else"
    target.model = "letters"
    note(target, book, Wish("hold", A, "", lambda _: traffic.TrafficPlan()))
    with pytest.raises(UserError, match="digits, letters"):
        options.known_model(book, TargetKind.EMBEDDED, at, None)
