"""A server started as a child, and ended whatever happens."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from mlopt.core.errors import UserError
from mlopt.loadtest.child import command, serving

_SERVES = (
    "import sys, signal, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    "print('loading', file=sys.stderr, flush=True); print('serving on http://127.0.0.1:4711/', file=sys.stderr, "
    "flush=True); open(sys.argv[1], 'w').write(str(__import__('os').getpid())); "
    "[time.sleep(0.05) for _ in range(1000)]"
)


def test_the_command_serves_on_a_free_port() -> None:
    assert command(Path("a"), ("--key", "k")) == [
        sys.executable, "-m", "mlopt", "serve", "a", "--port", "0", "--key", "k",
    ]  # fmt: skip


@pytest.mark.process
def test_its_address_is_given_and_it_is_ended(tmp_path: Path) -> None:
    with serving([sys.executable, "-c", _SERVES, str(tmp_path / "pid")], 30) as url:
        assert url == "http://127.0.0.1:4711"
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.process
def test_one_that_ends_says_what_it_said() -> None:
    code = "import sys; print('no such artifact', file=sys.stderr); sys.exit(4)"
    with (
        pytest.raises(UserError, match="did not come up") as caught,
        serving([sys.executable, "-c", code], 30),
    ):
        pass
    assert "it ended with code 4; no such artifact" in str(caught.value)


@pytest.mark.process
def test_one_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with (
        pytest.raises(UserError, match=r"said nothing of an address for 0\.2 s"),
        serving([sys.executable, "-c", "import time; time.sleep(60)"], 0.2),
    ):
        pass
