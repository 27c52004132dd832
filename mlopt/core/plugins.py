"""What other packages add to mlopt's tables (passes, formats, runtimes), found through entry points.

Each entry point of a table's group names one object of the table's type. Two of one name are an error, whoever brings
them: which of them a recipe or an artifact means must not hang on the order of an installation.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from mlopt.core.errors import PluginError


class Named(Protocol):
    """An entry of a table."""

    @property
    def name(self) -> str:
        """What recipes and artifacts call it."""
        ...


T = TypeVar("T", bound=Named)


def extended(group: str, own: Iterable[T], kind: type[T], what: str) -> dict[str, T]:
    """Return mlopt's ``own`` entries and those that other packages bring, by name; ``what`` is one in words.

    Raises ``PluginError`` for two of one name, what is no ``kind``, and what does not load, whatever it raises.
    """
    found = {each.name: each for each in own}
    origin = dict.fromkeys(found, "mlopt")
    for point in entry_points(group=group):
        brought_by = f"{_package(point)} ({point.value})"
        each = _loaded(point, brought_by, what)
        if not isinstance(each, kind):
            raise PluginError(
                f"the entry point '{point.name}' is not a {what}", where=brought_by, got=type(each).__name__,
                expected=f"a {kind.__module__}.{kind.__name__}", fix=f"repair or uninstall {_package(point)}",
            )  # fmt: skip
        if each.name in found:
            raise PluginError(
                f"two {_plural(what)} are called '{each.name}'", where=f"{origin[each.name]} and {brought_by}",
                fix="uninstall one of the two packages",
            )  # fmt: skip
        found[each.name], origin[each.name] = each, brought_by
    return found


def _loaded(point: EntryPoint, brought_by: str, what: str) -> object:
    try:
        return point.load()
    except Exception as error:  # a module that is not ours may raise anything when it is imported
        said = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise PluginError(
            f"the {what} '{point.name}' cannot be loaded", where=brought_by, got=said,
            fix=f"repair or uninstall {_package(point)}",
        ) from error  # fmt: skip


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"


def _plural(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"
