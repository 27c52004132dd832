"""Search for inputs that break a parser, guided by coverage, for as long as there is time. Outside the test suite.

Atheris (https://github.com/google/atheris) brings libFuzzer to Python. It is no dependency of mlopt; this makes an
environment for it, and searches for ten minutes:

    make fuzz                       # FUZZ_MINUTES=60 for an hour
    .venv-fuzz/bin/python tests/fuzz/run_atheris.py --minutes 10 --target onnx

The time is divided among the targets of ``fuzz_targets.py`` (or those given with ``--target``), one process after the
other. An input that raises what it should not is written to ``regressions/TARGET/`` once for each place where that
happens, and the search goes on; an input that ends the process, hangs for 20 s or takes 4 GiB is written there by
libFuzzer, and ends that target's search. From then on the test suite runs all of them. The exit code is 1 if there is
anything new. With ``--corpus DIR`` the inputs that reached new code are kept, and the next run starts from them.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from fuzz_targets import Target

HERE = Path(__file__).parent
REGRESSIONS = HERE / "regressions"
_DONE = re.compile(r"^Done (\d+) ", re.MULTILINE)
_FOUND = re.compile(r"^FOUND (.*)$", re.MULTILINE)
_COVERAGE = re.compile(r"^#\d+\s.*? cov: (\d+) ", re.MULTILINE)


def main() -> int:
    """Search every target in a process of its own; return how the process shall exit."""
    options = _options()
    targets = [target for target in _targets() if not options.target or target.name in options.target]
    seconds = max(1, int(60 * options.minutes / len(targets)))
    before = _kept()
    with tempfile.TemporaryDirectory(prefix="mlopt-fuzz-") as scratch:
        for target in targets:
            found = _search_in_child(target, (options.corpus or Path(scratch)) / target.name, seconds, Path(scratch))
            sys.stdout.write(f"{target.name:<16}{found}\n")
            sys.stdout.flush()
    new = sorted(_kept() - before)
    sys.stdout.write("".join(f"new: {path.relative_to(HERE)}\n" for path in new) or "nothing new\n")
    return 1 if new else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Search for inputs that break a parser, guided by coverage.")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps what reached new code")
    return parser.parse_args()


def _kept() -> set[Path]:
    return set(REGRESSIONS.glob("*/*"))


def _search_in_child(target: Target, corpus: Path, seconds: int, scratch: Path) -> str:
    """Return what became of a target: how many inputs were run, and how many places in the code they reached."""
    kept = REGRESSIONS / target.name
    for folder in (corpus, kept):
        folder.mkdir(parents=True, exist_ok=True)
    log, work = scratch / f"{target.name}.log", scratch / f"{target.name}.work"
    arguments = [
        f"-max_total_time={seconds}", f"-artifact_prefix={kept}/", "-timeout=20", "-report_slow_units=20",
        "-rss_limit_mb=4096", "-max_len=65536", str(corpus),
    ]  # fmt: skip
    child = multiprocessing.get_context("fork").Process(target=_search, args=(target, arguments, corpus, work, log))
    child.start()
    child.join()
    output = log.read_text(errors="replace")
    if not any(kept.iterdir()):
        kept.rmdir()
    if child.exitcode:
        return f"ended with {child.exitcode}:\n{output[-4000:]}"
    runs, coverage = _DONE.findall(output), _COVERAGE.findall(output)
    found = "".join(f"\n  {line}" for line in _FOUND.findall(output))
    return f"{runs[-1] if runs else '?':>9} inputs, {coverage[-1] if coverage else '?':>6} places reached{found}"


def _search(target: Target, arguments: list[str], corpus: Path, work: Path, log: Path) -> None:
    """Run libFuzzer on one target until its time is over; it ends the process itself."""
    from fuzz_targets import feed

    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    work.mkdir()
    target.prepare(work)
    places: set[str] = set()

    def run(data: bytes) -> str | None:
        """Return where an input ends in an error that it should not, the first time that it does."""
        try:
            feed(target, data, work)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of Rust code is no Exception
            place = _place(error)
            return None if place in places or places.add(place) else f"{place}: {error!r:.200}"
        return None

    def run_and_keep(data: bytes) -> None:
        if found := run(data):
            file = REGRESSIONS / target.name / f"{found.partition(':')[0]}-{hashlib.sha256(data).hexdigest()[:8]}"
            file.write_bytes(data)
            sys.stderr.write(f"FOUND {file.relative_to(HERE)}: {found}\n")

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.randrange(2):
            return bytes(atheris.Mutate(data, max_size))
        return target.mutate(data, random)[:max_size]

    for file in sorted((REGRESSIONS / target.name).iterdir()):
        run(file.read_bytes())
    atheris.Setup(["mlopt", *arguments], run_and_keep, custom_mutator=mutate)
    atheris.Fuzz()


def _place(error: BaseException) -> str:
    """Name the kind of error and the last function of mlopt on its way."""
    import mlopt

    root = str(Path(mlopt.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    where = f"{Path(frames[-1].filename).stem}-{frames[-1].name}" if frames else "test"
    return re.sub(r"[^\w-]", "", f"{type(error).__name__}-{where}")


def _targets() -> tuple[Target, ...]:
    """Import the targets so that atheris sees which lines of mlopt they reach."""
    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(include=["mlopt", "yaml"]):
        from fuzz_targets import TARGETS
    return TARGETS


if __name__ == "__main__":
    sys.exit(main())
