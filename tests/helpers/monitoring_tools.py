"""Where promtool and amtool are: on the PATH, or in ``.bench/prometheus``, where ``make prometheus`` puts them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_UNPACKED = Path(__file__).parents[2] / ".bench/prometheus/usr/bin"


def tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{_UNPACKED}")
