"""What findings come to together."""

from __future__ import annotations

import pytest

from mlopt.core.check import Check, CheckGroup, Status, passed


@pytest.mark.parametrize(("worst", "well"), [("ok", True), ("note", True), ("problem", False)])
def test_only_a_problem_is_one(worst: Status, well: bool) -> None:
    groups = (CheckGroup("a", (Check("b", "ok", ""),)), CheckGroup("c", (Check("d", worst, "", "so"),)))
    assert passed(groups) is well
    assert passed(()) is True
