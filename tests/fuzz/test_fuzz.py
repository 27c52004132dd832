"""Bytes from strangers: whatever they are, mlopt either accepts them or says in its own words what is wrong.

``run_atheris.py`` looks longer and further, guided by coverage; what it found is kept in ``regressions/``.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from fuzz_targets import TARGETS, Target, feed
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.heavy

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*/*"))
BY_NAME = {target.name: target for target in TARGETS}
EACH = pytest.mark.parametrize("target", TARGETS, ids=BY_NAME)


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """An input that wants too much memory at once ends in ``MemoryError``, not with the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each target the folder that it works in."""
    found = {name: tmp_path_factory.mktemp(name) for name in BY_NAME}
    for name, folder in found.items():
        BY_NAME[name].prepare(folder)
    return found


@EACH
def test_seeds_are_accepted(target: Target, folders: dict[str, Path]) -> None:
    assert [feed(target, seed, folders[target.name]) for seed in target.seeds()] == [None] * len(target.seeds())


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_once_found_stays_mended(file: Path, folders: dict[str, Path]) -> None:
    feed(BY_NAME[file.parent.name], file.read_bytes(), folders[file.parent.name])


@EACH
def test_changed_inputs_raise_only_errors_of_mlopt(target: Target, folders: dict[str, Path]) -> None:
    @settings(max_examples=target.examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def search(random: Random) -> None:
        data = target.mutate(random.choice(target.seeds()), random)
        note(f"keep it as regressions/{target.name}/NAME: {data!r}")
        feed(target, data, folders[target.name])

    search()


@EACH
def test_random_bytes_raise_only_errors_of_mlopt(target: Target, folders: dict[str, Path]) -> None:
    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=200))
    def search(data: bytes) -> None:
        feed(target, data, folders[target.name])

    search()
