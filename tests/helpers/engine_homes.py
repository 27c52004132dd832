"""The environments that engines live in, each beside the checkout; a test is skipped, with the reason, without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray_cluster

ROOT = Path(__file__).parents[2]


def home(name: str) -> Path:
    """Return ``.bench/NAME`` as an environment with its Python; skips the test where nobody made it."""
    folder = ROOT / ".bench" / name
    if not (folder / ".installed").exists():
        pytest.skip(f"{name} is not installed: make .bench/{name}/.installed")
    if name == "triton" and (library := _missing_library(folder)):
        pytest.skip(f"Triton's Python backend needs {library} (Debian has it in the package libpython3.N)")
    return folder


@cache
def _missing_library(triton: Path) -> str | None:
    """Return which shared library of Python the backend's process is linked with and this machine lacks."""
    (stub,) = triton.glob("lib/python3*/site-packages/pytriton/tritonserver/python_backend_stubs/" + _release(triton))
    told = subprocess.run(
        ["ldd", str(stub / "triton_python_backend_stub")], capture_output=True, text=True, check=False
    )
    lacking = [line.split()[0] for line in told.stdout.splitlines() if "libpython" in line and "not found" in line]
    return lacking[0] if lacking else None


def _release(home: Path) -> str:
    (folder,) = (home / "lib").glob("python3.*")
    return folder.name.removeprefix("python")


def python(name: str) -> Path:
    return home(name) / "bin" / "python"


def in_namespace(
    command: Sequence[str | Path], folder: Path, port: int, ready: Sequence[str], asks: Sequence[Mapping[str, Any]],
    *, seconds: float = 180, **env: str,
) -> dict[str, Any]:  # fmt: skip
    """Serve where nobody else can reach it, ask, and return ``answers`` (of each ask, one a time) and ``ended``.

    Whatever the server starts ends with the namespace. Skips the test where none of its own is permitted.
    """
    log = folder.parent / f"{folder.name}.log"
    told = {
        "command": list(map(str, command)), "port": port, "ready": list(ready), "asks": list(asks), "seconds": seconds,
        "log": str(log),
    }  # fmt: skip
    script = Path(__file__).parent / "namespace_host.py"
    paths = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    if absent := [tool for tool in ("unshare", "ip") if not shutil.which(tool)]:
        pytest.skip(f"{' and '.join(absent)} is missing here (util-linux, iproute2)")
    tried = subprocess.run(
        ray_cluster._unshare(["ip", "link", "set", "lo", "up"]), capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no namespace of its own is permitted here: {tried.stderr.strip()}")
    done = subprocess.run(
        ray_cluster._unshare([sys.executable, str(script)]), input=json.dumps(told), cwd=folder, capture_output=True,
        text=True, check=False, timeout=seconds + 120, env={**os.environ, **env, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert "answers" in found, f"{found}\n{log.read_text(errors='replace')[-3000:]}"
    return found
