"""Reads a package's imports and sizes, and finds what its ground plan forbids: circles, imports upwards, long paths.

Every import counts: lazy ones inside functions and type-only ones too, for both tie two modules together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

Imports = Mapping[str, frozenset[str]]
"""Each module, with the modules of its package that it imports."""
Order = Sequence[tuple[str, ...]]
"""The folders of a package from top to bottom; those of one row stand beside each other and import each other not."""


def modules(package: Path) -> dict[str, Path]:
    """Each module's dotted name, with its file."""
    found = {}
    for file in package.rglob("*.py"):
        name = ".".join(file.relative_to(package.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = file
    return found


def imports(package: Path) -> Imports:
    """What each module imports of its own package; the packages that it lies in are no imports of it."""
    known = modules(package)
    return {
        name: frozenset(
            seen
            for written in _written(file, name)
            if (seen := _longest_known(written, known)) and not f"{name}.".startswith(f"{seen}.")
        )
        for name, file in known.items()
    }


def _written(file: Path, name: str) -> Iterator[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield base  # a module of a package takes what the package itself imports
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _longest_known(written: str, known: Mapping[str, Path]) -> str:
    while written and written not in known:
        written = written.rpartition(".")[0]
    return written


def circles(plan: Imports) -> list[list[str]]:
    """The groups of modules of which each imports each, directly or by way of others."""
    reached = {name: _reached(name, plan) for name in plan}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in plan
        if name in reached[name]
    }
    return sorted(map(list, groups))


def _reached(name: str, plan: Imports) -> set[str]:
    seen: set[str] = set()
    waiting = list(plan[name])
    while waiting:
        if (other := waiting.pop()) not in seen:
            seen.add(other)
            waiting.extend(plan[other])
    return seen


def longest_path(plan: Imports) -> list[str]:
    """The longest chain in which each module imports the next. A circle has none: see ``circles`` first."""
    if around := circles(plan):
        raise ValueError(f"no path is the longest, for these import each other: {around}")
    chains: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in chains:
            chains[name] = [name, *max(map(chain, sorted(plan[name])), key=len, default=[])]
        return chains[name]

    return max(map(chain, sorted(plan)), key=len)


def against_the_order(plan: Imports, order: Order) -> list[str]:
    """What imports a folder above its own, or beside it, or lies in none of them.

    A package's own ``__init__`` and ``__main__`` stand above all.
    """
    rows = {folder: row for row, folders in enumerate(order) for folder in folders}
    wrong = []
    for name in sorted(plan):
        own = _folder(name)
        if own in ("", "__main__"):
            continue
        if own not in rows:
            wrong.append(f"{name}: {own} has no place in the order")
            continue
        for other in sorted(plan[name]):
            its = _folder(other)
            if its == own or rows.get(its, -1) > rows[own] or (its not in rows and its not in ("", "__main__")):
                continue
            wrong.append(f"{name} imports {other}: {its or 'the package itself'} does not lie below {own}")
    return wrong


def _folder(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def top_files(package: Path) -> list[str]:
    return sorted(file.name for file in package.glob("*.py"))


def function_lengths(package: Path) -> list[int]:
    """The lines of every function, nested ones too, from the shortest to the longest."""
    return sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
