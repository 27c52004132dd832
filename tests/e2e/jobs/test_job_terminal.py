"""Job 9: a terminal of 80 by 24, a run that is stopped with Ctrl-C, and the same command again."""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest
from small_graphs import write_classifier
from user_jobs import Job

TMUX = shutil.which("tmux")
pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


class Terminal:
    """A session of tmux, of its own server; what is on its screen is what a person would see."""

    def __init__(self, job: Job) -> None:
        self.name = f"mlopt-{uuid.uuid4().hex[:8]}"
        self._tmux(
            "new-session", "-d", "-x", "80", "-y", "24", "-c", str(job.folder),
            *(word for name, value in job.environment.items() if name.startswith(("MLOPT", "HOME", "XDG", "PYTHON"))
              for word in ("-e", f"{name}={value}")), "sh",
        )  # fmt: skip

    def _tmux(self, *words: str) -> str:
        done = subprocess.run([str(TMUX), "-L", self.name, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def types(self, text: str) -> None:
        self._tmux("send-keys", text, "Enter")

    def interrupts(self) -> None:
        self._tmux("send-keys", "C-c")

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-S", "-200")

    def shows(self, text: str, within: float = 120) -> str:
        """Wait until a text is on the screen, or above it."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if text in (screen := self.screen):
                return screen
            time.sleep(0.2)
        raise AssertionError(f"'{text}' did not come:\n{self.screen}")

    def ends(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def terminal(job: Job) -> Iterator[Terminal]:
    """One that is closed afterwards."""
    opened = Terminal(job)
    yield opened
    opened.ends()


def test_a_run_is_stopped_and_goes_on_where_it_was(job: Job, terminal: Terminal) -> None:
    model, data = write_classifier(job.folder)
    command = f"{job.python} -m mlopt optimize {model.name} --data {data.name} -o out; echo code=$?"
    terminal.types(command)
    terminal.shows("simplify")
    terminal.shows("measur", within=200)
    terminal.interrupts()
    screen = terminal.shows("code=130")
    assert "Traceback" not in screen
    assert "goes on from there" in screen.replace("\n", " ")
    assert not (job.folder / "out").exists()
    assert sorted(each.name for each in job.folder.iterdir() if each.name.startswith(".")) == []
    terminal.types("clear; " + command)
    screen = terminal.shows("code=", within=300)
    assert (job.folder / "out" / "report.html").exists()
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert "Traceback" not in screen
