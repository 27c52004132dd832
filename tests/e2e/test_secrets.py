"""A passphrase reaches the process that signs, and nothing else: no file, no output, no child process.

The recipe's own Python looks for it, in every process in which it runs: those that read data, build the model, export
it and are measured.
"""

from __future__ import annotations

import ast
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_graphs import BRIEFLY

import mlopt
from mlopt.core.worker import child_environment

pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

LOOKS = """
import os
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def look(why):
    around = [Path(file).read_bytes() for file in ("/proc/self/environ", f"/proc/{os.getppid()}/cmdline")]
    now = repr(dict(os.environ)).encode()
    (HERE / f"seen-{why}-{os.getpid()}.txt").write_bytes(b"\\n".join([*around, now]))
    print("looked at", why, os.environ)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x):
        if not torch.compiler.is_exporting():
            look("forward")
        return self.linear(x)


def build():
    look("build")
    return Net()


def evaluation():
    look("data")
    return {"x": np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)}

"""
RECIPE = """
apiVersion: mlopt/v1
name: net
model: {source: './net.py:build', inputs: {x: {dtype: float32, shape: [batch, 4]}}}
data: {evaluation: {source: './net.py:evaluation'}}
passes: [export, simplify]
gates: [{metric: fidelity.cosine, min: 0.5}, {metric: speedup.median, min: 0.001, on_inconclusive: pass}]
"""
Run = Callable[..., subprocess.CompletedProcess[str]]
OTHER = "a variable that children may have"


@pytest.fixture
def passphrase() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def mlopt_with(tmp_path: Path, passphrase: str) -> Run:
    """``mlopt_with(*arguments)``: run the program in ``tmp_path``, with every folder that it writes to below it."""
    (tmp_path / "tmp").mkdir()
    folders = {"TMPDIR": "tmp", "MLOPT_CACHE": "cache", "MLOPT_CONFIG": "config", "HOME": "home"}
    environment = {**os.environ, **{name: str(tmp_path / folder) for name, folder in folders.items()}}
    environment |= {"MLOPT_KEY_PASSPHRASE": passphrase, "OTHER": OTHER}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlopt", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | variables, capture_output=True, text=True, check=False
        )

    return run


def files_with(folder: Path, text: str) -> set[str]:
    """The names of the files below ``folder`` that hold ``text``, and of those that are called so."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.name for file in files if text.encode() in file.read_bytes() or text in str(file)}


def test_the_passphrase_is_nowhere(tmp_path: Path, passphrase: str, mlopt_with: Run) -> None:
    (tmp_path / "net.py").write_text(LOOKS)
    (tmp_path / "net.yaml").write_text(RECIPE)
    broken = "return self.linear(x) if x.sum() > 0 else self.linear(-x)"  # export cannot follow both ways
    (tmp_path / "broken.py").write_text(LOOKS.replace("return self.linear(x)", broken))
    (tmp_path / "broken.yaml").write_text(RECIPE.replace("net.py", "broken.py").replace("name: net", "name: broken"))
    quick = [word for override in BRIEFLY for word in ("--set", override)]
    runs = [
        mlopt_with("keygen", "-o", "ci.key", "--encrypt"),
        mlopt_with("-v", "optimize", "net.yaml", "--allow-code", "--key", "ci.key", *quick),
        mlopt_with("-v", "optimize", "broken.yaml", "--allow-code", "--key", "ci.key", *quick),
        mlopt_with("sign", "artifacts/net", "--key", "ci.key"),
        mlopt_with("verify", "artifacts/net", "--key", "ci.pub"),
    ]
    assert [run.returncode for run in runs] == [0, 0, 2, 0, 0], "\n".join(run.stderr for run in runs)
    assert [file.name for file in (tmp_path / "repro").rglob("step.log")] == ["step.log"]
    assert not any(passphrase in run.stdout + run.stderr for run in runs)
    assert files_with(tmp_path, passphrase) == set()
    seen = {file.name.split("-")[1] for file in tmp_path.glob("seen-*") if file.name in files_with(tmp_path, OTHER)}
    assert seen >= {"build", "data", "forward"}
    assert len(list(tmp_path.glob("seen-build-*"))) >= 3  # the source is built, exported and measured apart


def test_a_wrong_passphrase_is_not_repeated(tmp_path: Path, passphrase: str, mlopt_with: Run) -> None:
    assert mlopt_with("keygen", "-o", "ci.key", "--encrypt").returncode == 0
    (tmp_path / "net.py").write_text(LOOKS)
    (tmp_path / "net.yaml").write_text(RECIPE)
    wrong = passphrase[::-1] + "x"
    failed = mlopt_with("-v", "optimize", "net.yaml", "--allow-code", "--key", "ci.key", MLOPT_KEY_PASSPHRASE=wrong)
    assert failed.returncode == 2
    assert "passphrase" in failed.stderr
    assert wrong not in failed.stdout + failed.stderr
    assert files_with(tmp_path, wrong) == set()
    assert not list(tmp_path.glob("seen-*"))  # it is found out before any work


@pytest.mark.parametrize(
    "name",
    ["MLOPT_KEY_PASSPHRASE", "SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL"],
)
def test_children_get_nothing_to_sign_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("OTHER", OTHER)
    assert name not in child_environment()
    assert child_environment()["OTHER"] == OTHER


def test_every_child_process_is_started_in_one_place() -> None:
    """So that one look at ``Worker`` tells what a child gets: a nursery hands that on.

    A browser, and the server that a load test starts, get as little.
    """
    starts = {"subprocess", "multiprocessing", "pty", "webbrowser"}
    calls = ("os.exec", "os.spawn", "os.posix_spawn", "os.system", "os.popen", "os.fork")
    found = set()
    for path in Path(mlopt.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if starts & {name.split(".")[0] for name in names} or text.startswith(calls):
                found.add(path.name)
    assert found == {"worker.py", "nursery.py", "report.py", "child.py"}
