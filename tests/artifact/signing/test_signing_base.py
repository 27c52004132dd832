"""What it is to trust somebody: an unknown signer is a fault of integrity, and what was opened stays as it was."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from mlopt.artifact.signing.base import Opened, UnknownSignerError
from mlopt.core.errors import ExitCode, IntegrityError


def test_an_unknown_signer_exits_as_a_fault_of_integrity_does() -> None:
    with pytest.raises(IntegrityError) as caught:
        raise UnknownSignerError("signed by an unknown key", where="model.sig")
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_a_statement_that_was_opened_cannot_be_exchanged() -> None:
    opened = Opened(b"statement", "signer")
    with pytest.raises(FrozenInstanceError):
        opened.statement = b"other"  # type: ignore[misc]
