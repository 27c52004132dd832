"""A user's folder, and the program in it: what the jobs from end to end are told with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TIMEOUT = 900


@dataclass
class Job:
    """A folder of a user's own, and the program in it; nothing is shared with other runs."""

    folder: Path
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a fresh user has: no cache, no key, no settings."""
        home = str(self.folder / "home")
        mine = {
            "HOME": home,
            "XDG_CACHE_HOME": f"{home}/.cache",
            "XDG_CONFIG_HOME": f"{home}/.config",
            "COLUMNS": "100",
        }
        return {**os.environ, **mine, "MLOPT_CACHE": f"{home}/.cache/mlopt", **self.variables}

    def run(
        self, *words: str | Path, code: int | None = 0, python: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run any Python program; ``code`` is what it must end with, None: whatever it is."""
        done = subprocess.run(
            [python or self.python, *map(str, words)], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def mlopt(self, *words: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run ``mlopt``."""
        return self.run("-m", "mlopt", *words, code=code)

    def writes(self, **files: str) -> None:
        """Write files, called ``name_ending``: ``net_py`` is net.py."""
        for name, text in files.items():
            stem, _, ending = name.rpartition("_")
            (self.folder / f"{stem}.{ending}").write_text(text, encoding="utf-8")


def fetched(job: Job, *packages: str) -> None:
    """Put packages where only this job sees them, without what they need; skips where no index has them."""
    where = job.folder / "packages"
    words: Sequence[str] = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(where), *packages)
    done = job.run(*words, code=None)
    if done.returncode:
        pytest.skip(f"no index has {', '.join(packages)}: {done.stderr.strip().splitlines()[-1]}")
    job.variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(where), os.environ.get("PYTHONPATH", ""))))
