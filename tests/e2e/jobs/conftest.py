"""Ten jobs of users, each from what they have to what they want, through the program as it is installed.

They are long, and some fetch packages: `make slow` runs them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from user_jobs import TIMEOUT, Job

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them take long."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("slow")
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A folder with nothing in it but a home."""
    (tmp_path / "home").mkdir()
    return Job(tmp_path)
