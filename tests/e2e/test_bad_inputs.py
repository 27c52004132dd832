"""What a user reads when something is wrong: one clear cause, its place, and a fix that works. Golden files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import bad_inputs
import numpy as np
import pytest

import mlopt
from mlopt.cli.app import run
from mlopt.core import packages

Check = Callable[[str, int], None]
_PROGRESS = re.compile(r"^ *\d+\.\d s  .+\n", re.MULTILINE)
_CHECKOUT = Path(mlopt.__file__).parents[1]
_MLOPT = [sys.executable, "-m", "mlopt"]
_INTERRUPTIBLE = [
    sys.executable, "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from mlopt.cli.app import main; main()",
]  # fmt: skip
"""A shell starts what runs in the background with interrupts ignored, and the tests may run so."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(folder: Path, golden: Callable[[str, str], None], capfd: pytest.CaptureFixture[str]) -> Check:
    """Hold the message that was printed, without what differs from run to run, and the code against a golden file."""

    def check(name: str, code: int) -> None:
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        text = _PROGRESS.sub("", printed.err).replace(str(folder), "<tmp>").replace(str(_CHECKOUT), "<checkout>")
        text = re.sub(r"mlopt-run-\w+", "mlopt-run-<run>", text)
        golden(f"bad_inputs/{name}.txt", f"exit {code}\n{text}")

    return check


@pytest.mark.parametrize("name", list(bad_inputs.CASES))
def test_message(name: str, told: Check) -> None:
    code = run(bad_inputs.CASES[name]())
    assert code == 2
    told(name, code)
    assert list(Path().glob("artifacts/*")) == []


@pytest.fixture
def uninstall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """``uninstall(name)``: make a distribution look absent."""
    real = metadata.version
    absent: set[str] = set()

    def version(name: str) -> str:
        if name.startswith(tuple(absent)):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    packages.version.cache_clear()
    yield absent.add
    packages.version.cache_clear()


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "onnxscript"])
def test_missing_package(name: str, uninstall: Callable[[str], None], told: Check) -> None:
    command = bad_inputs.code(bad_inputs.NET)
    uninstall(name)
    told(f"missing_{name}", run(command))


def test_several_missing_at_once(uninstall: Callable[[str], None], told: Check) -> None:
    command = bad_inputs.code(bad_inputs.NET)[:-1]
    uninstall("torch")
    told("no_torch_and_no_consent", run(command))


@pytest.mark.parametrize("arguments", [["optimize", "tiny.yaml", "--fast"], ["optimize"], ["optimise", "tiny.yaml"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    message = capfd.readouterr().err
    assert "Usage: mlopt" in message
    assert re.search(r"--fast|RECIPE_OR_MODEL|optimise", message)
    assert "Traceback" not in message


def test_a_cache_in_the_way_of_a_file(told: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("taken").touch()
    for cache in ("taken", "taken/cache"):
        monkeypatch.setenv("MLOPT_CACHE", str(Path(cache).absolute()))
        told(f"cache_{cache.replace('/', '_')}", run(bad_inputs.recipe()))


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a file system")
    place = folder / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def many_samples() -> list[str]:
    """A run whose data alone is larger than the small disk."""
    return bad_inputs.data(x=np.random.default_rng(0).standard_normal((200_000, 4)).astype(np.float32))


def test_a_full_disk_under_the_cache(small_disk: Path, told: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPT_CACHE", str(small_disk / "cache"))
    told("full_disk_under_the_cache", run(many_samples()))
    assert [file for file in small_disk.rglob("*") if file.is_file() and file.stat().st_size] == []


def test_a_full_disk_for_temporary_files(small_disk: Path, told: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    told("full_disk_for_temporary_files", run([*many_samples(), "--no-cache"]))


def test_a_full_disk_under_the_output(small_disk: Path, told: Check) -> None:
    (small_disk / "others.bin").write_bytes(bytes((1 << 20) - 16384))
    command = [*bad_inputs.recipe(), "-o", str(small_disk / "tiny"), "--no-sign"]
    told("full_disk_under_the_output", run(command))
    assert {file.name for file in small_disk.iterdir()} == {"others.bin"}


def test_the_program_itself(folder: Path, golden: Callable[[str, str], None]) -> None:
    """The same through the shell: the code reaches it, and nothing but the message."""
    command = bad_inputs.CASES["several_problems"]()
    done = subprocess.run([*_MLOPT, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    golden("bad_inputs/several_problems.txt", f"exit 2\n{_PROGRESS.sub('', done.stderr)}")


def test_an_interrupt_is_one_line(folder: Path) -> None:
    long = ["--set", "measure.seconds=600", "--set", "measure.rounds=1000"]
    command = [*_INTERRUPTIBLE, *bad_inputs.recipe(), "--no-sign", *long]
    temporary = folder / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stderr is not None
    seen = ""
    while "measure" not in seen:
        line = process.stderr.readline()
        assert line, f"it ended before it measured: {seen}"
        seen += line
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "interrupted: what was finished is in the cache, and the same command goes on from there\n"
    assert not (folder / "artifacts/tiny").exists()
    assert [path for path in temporary.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("arguments", [["passes"], ["passes", "--json"], ["recipe", "schema"]])
def test_a_reader_who_leaves_early_is_no_verdict(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*_MLOPT, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
