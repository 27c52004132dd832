"""What the verbs do to the machine, as the kernel sees it: they connect to nobody, and write where they may.

Everything below a verb counts: its workers, and the native code in them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench_models import dense
from packed_artifact import pack

from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner

CALL = re.compile(r'(?:openat|open|creat)\((?:\w+, |\d+<[^>]*>, )?"([^"]*)",? ?([A-Z_|0-9]*)')
CHANGES = "rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,unlink,unlinkat,truncate"
OTHERS = re.compile(rf'(?:{CHANGES.replace(",", "|")})\(.*?"([^"]*)"')
REACHED = re.compile(r"(connect|sendto|bind)\(.*sa_family=(AF_INET6?)")
HARMLESS = ("/dev/null", "/dev/tty", "/proc/self/", "/proc/thread-self/", "/dev/shm/")
QUICK = ("--set", "measure.seconds=0.05", "--set", "measure.rounds=7", "--set", "measure.max_time=1")
VERBS = {
    "verify": ["verify", "digits", "--key", "k.pub"],
    "gate": ["gate", "digits", "--junit", "out/gates.xml"],
    "report": ["report", "digits", "-o", "out/r.html"],
    "inspect": ["inspect", "digits"],
    "bench": ["bench", "source.onnx", "--time", "0.1", "-o", "out/b.json"],
    "optimize a model": ["optimize", "source.onnx", "--no-sign", "-o", "out/made", *QUICK],
    "optimize a recipe": ["optimize", "r.yaml", "--no-sign", "-o", "out/made", *QUICK],
    "optimize without consent": ["optimize", "code.yaml", "--no-sign", "-o", "out/made"],
}
RECIPE = """\
apiVersion: mlopt/v1
name: x
model: {source: SOURCE}
passes: [simplify]
gates: [{metric: fidelity.cosine, min: 0.9}]
metric: {name: fidelity}
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace")
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_touches_nothing_else(tmp_path: Path, verb: str) -> None:
    work, outside = tmp_path / "work", [tmp_path / name for name in ("cache", "config", "tmp")]
    for folder in (work, work / "out", *outside):
        folder.mkdir()
    keys.create_key(work / "k")
    pack(work, KeySigner(keys.load_private(work / "k")))
    dense(work / "source.onnx")
    (work / "r.yaml").write_text(RECIPE.replace("SOURCE", "./source.onnx"))
    (work / "code.yaml").write_text(RECIPE.replace("SOURCE", "./code.py:build"))
    (work / "code.py").write_text("open('ran', 'w')\ndef build(): open('ran', 'w')\n")
    before = {path.relative_to(work) for path in work.rglob("*")}
    environment = os.environ | {
        "MLOPT_CACHE": str(outside[0]), "MLOPT_CONFIG": str(outside[1]), "TMPDIR": str(outside[2]),
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    log = tmp_path / "log"
    calls = f"trace=%network,openat,open,creat,{CHANGES}"
    done = subprocess.run(
        ["strace", "-f", "-y", "-s", "400", "-e", calls, "-o", log, sys.executable, "-m", "mlopt", *VERBS[verb]],
        cwd=work, env=environment, check=False, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("this container allows no ptrace")
    assert "Traceback" not in done.stderr
    allowed = tuple(map(str, (work / "out", work / ".out", *outside)))
    found = [line for line in log.read_text(errors="replace").splitlines() if _is_odd(line, work, allowed)]
    assert found == []
    assert {path.relative_to(work) for path in work.rglob("*") if "out" not in path.parts} >= {
        path for path in before if path.parts[0] != "out"
    }
    assert not (work / "ran").exists()


def _is_odd(line: str, work: Path, allowed: tuple[str, ...]) -> bool:
    """Whether a call reaches the network, or changes something that is none of the verb's."""
    if REACHED.search(line):
        return True
    if " = -1 " in line:
        return False
    opened, other = CALL.search(line), OTHERS.search(line)
    if opened and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", line):
        return False
    name = opened or other
    if name is None:
        return False
    relative = re.search(r"\(\d+<([^>]*)>, ", line)
    path = name[1] if name[1].startswith("/") else f"{relative[1] if relative else work}/{name[1]}"
    return not path.startswith((*allowed, *HARMLESS))


@pytest.mark.parametrize(
    ("line", "odd"),
    [
        ("7 connect(3<TCP>, {sa_family=AF_INET, sin_port=htons(443)}, 16) = -1 EACCES (Permission denied)", True),
        ('7 connect(3<UNIX>, {sa_family=AF_UNIX, sun_path="/run/x"}, 16) = 0', False),
        ('7 openat(AT_FDCWD, "/home/me/.bashrc", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</home/me/.bashrc>', True),
        ('7 openat(AT_FDCWD, "/home/me/.bashrc", O_RDONLY|O_CLOEXEC) = 3</home/me/.bashrc>', False),
        ('7 openat(AT_FDCWD, "ran", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3</work/ran>', True),
        ('7 openat(AT_FDCWD, "out/r.html", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3</work/out/r.html>', False),
        ('7 openat(5</work/out>, "x", O_RDWR|O_CREAT, 0666) = 3</work/out/x>', False),
        ('7 rename("/cache/a", "/cache/b") = 0', False),
        ('7 unlink("/home/me/thesis.tex") = 0', True),
        ('7 unlink("/home/me/thesis.tex") = -1 ENOENT (No such file or directory)', False),
        ('7 openat(AT_FDCWD, "/dev/null", O_RDWR) = 3</dev/null>', False),
    ],
)
def test_what_counts_as_odd(line: str, odd: bool) -> None:
    assert _is_odd(line, Path("/work"), ("/work/out", "/cache")) is odd
