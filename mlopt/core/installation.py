"""What is wrong with what is installed: distributions that write over each other, and versions not made for mlopt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from mlopt.core.packages import builds


@dataclass(frozen=True)
class Clash:
    """A module that several distributions wrote, or one that mlopt does not take for it."""

    module: str
    distributions: tuple[str, ...]


@dataclass(frozen=True)
class OutOfRange:
    """An installed version outside the range that mlopt names."""

    name: str
    version: str
    wanted: str


def clashes(packages: Sequence[str], givers: Mapping[str, Sequence[str]]) -> Iterator[Clash]:
    """Yield the modules of these packages that are not given by one distribution alone, which mlopt knows.

    ``givers`` are the distributions of each module, as ``modules`` returns them.
    """
    for package in packages:
        module = package.replace("-", "_")
        found = tuple(sorted({_plain(name) for name in givers.get(module, ())}))
        if len(found) > 1 or not set(found) <= set(builds(package)):
            yield Clash(module, found)


def in_place_of(distributions: Sequence[str], install: str) -> str:
    """Return how to remove distributions and then do this, which may be a command or a sentence."""
    return f"pip uninstall -y {' '.join(distributions)}{' && ' if install.startswith('pip ') else ', then '}{install}"


def modules() -> Mapping[str, Sequence[str]]:
    """Return which distributions have files in each top-level module; looks at all that is installed."""
    return metadata.packages_distributions()


def out_of_range(wanted: Sequence[str], extras: Sequence[str]) -> Iterator[OutOfRange]:
    """Yield what is installed in a version that the requirements of mlopt, or of one of these extras, exclude."""
    from packaging.requirements import Requirement

    seen = set()
    for requirement in map(Requirement, wanted):
        marker, name = requirement.marker, _plain(requirement.name)
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if not applies or (name, requirement.specifier) in seen:
            continue
        seen.add((name, requirement.specifier))
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            limits = sorted(map(str, requirement.specifier), reverse=True)  # >=1,<2 rather than <2,>=1
            yield OutOfRange(name, version, ",".join(limits))


def _plain(name: str) -> str:
    """Return a distribution's name as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()
