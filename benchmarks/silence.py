"""The longest time for which a command leaves its terminal as it is: recorded from a pseudo-terminal, with timestamps.

`python benchmarks/silence.py [--most 3] [--record FILE] -- COMMAND...` runs the command in a terminal of 80 x 24,
follows what is on the screen, and ends with 1 if that did not change for longer than ``--most`` seconds. What moves the
cursor, or paints the same once more, is no change. A record has a line of JSON for each piece of output: the seconds
since the start, and the bytes.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS, ROWS = 80, 24
_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[^\[]|([\r\n\b])|([^\x1b\r\n\b]+)")


@dataclass
class Screen:
    """As much of a terminal as rich needs: text, lines, the cursor up and down, lines erased."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    _rest: str = ""

    def feed(self, text: str) -> None:
        """Show some output; a sequence that is not whole yet waits for its end."""
        text = self._rest + text
        cut = text.rfind("\x1b")
        whole = cut < 0 or _TOKEN.match(text, cut) is not None
        self._rest = "" if whole else text[cut:]
        for found in _TOKEN.finditer(text if whole else text[:cut]):
            self._take(*found.groups())

    def _take(self, numbers: str | None, command: str | None, control: str | None, text: str | None) -> None:
        if command is not None:
            self._command(command, int(numbers) if numbers and numbers.isdecimal() else None)
        elif control == "\n":
            self.row, self.column = self.row + 1, 0
        elif control is not None:
            self.column = 0 if control == "\r" else max(0, self.column - 1)
        elif text is not None:
            for start in range(0, len(text), COLUMNS):
                self._write(text[start : start + COLUMNS])
        while len(self.lines) <= self.row:
            self.lines.append("")

    def _command(self, command: str, number: int | None) -> None:
        if command == "A":
            self.row = max(0, self.row - (number or 1))
        elif command == "B":
            self.row += number or 1
        elif command == "K":
            self.lines[self.row] = "" if number == 2 else self.lines[self.row][: self.column]

    def _write(self, text: str) -> None:
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)

    @property
    def shown(self) -> tuple[str, ...]:
        """What can be seen, from the top."""
        return tuple(line.rstrip() for line in self.lines[-ROWS:])


@dataclass(frozen=True)
class Gap:
    """A time without a change."""

    seconds: float
    since: float
    """Seconds from the start of the command."""
    last: str
    """The last line on the screen meanwhile."""


def recorded(command: Sequence[str]) -> Iterator[tuple[float, bytes]]:
    """Run a command in a terminal, and yield what it writes with the seconds since its start; raises if it fails."""
    started = time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], list(command))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # what a terminal says at its end
            data = b""
        yield time.monotonic() - started, data
        if not data:
            break
    _, status = os.waitpid(child, 0)
    if (code := os.waitstatus_to_exitcode(status)) not in {0, 1, 3}:
        raise SystemExit(f"the command ended with {code}")


def gaps(pieces: Iterable[tuple[float, bytes]]) -> list[Gap]:
    """Return the times between changes of the screen, the longest first; the end of the output is a change."""
    screen, before, since = Screen(), ("",), 0.0
    found = []
    for seconds, data in pieces:
        screen.feed(data.decode(errors="replace"))
        if screen.shown != before or not data:
            last = next((line for line in reversed(before) if line), "")
            found.append(Gap(seconds - since, since, last))
            before, since = screen.shown, seconds
    return sorted(found, key=lambda gap: -gap.seconds)


def main() -> int:
    """Record, and say how long it was silent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=float, default=3.0, help="seconds without a change")
    parser.add_argument("--record", type=Path, help="a file for output and timestamps")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    pieces = list(recorded(asked.command))
    if asked.record is not None:
        rows = (json.dumps([round(at, 4), base64.b64encode(data).decode()]) for at, data in pieces)
        asked.record.write_text("\n".join(rows) + "\n", encoding="utf-8")
    longest = gaps(pieces)
    sys.stdout.write(f"{len(longest)} changes of the screen in {pieces[-1][0]:.1f} s; the longest times without one:\n")
    for gap in longest[:5]:
        sys.stdout.write(f"  {gap.seconds:5.2f} s from {gap.since:7.2f} s on, at: {gap.last}\n")
    return int(longest[0].seconds > asked.most)


if __name__ == "__main__":
    sys.exit(main())
