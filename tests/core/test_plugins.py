"""Tables that other packages extend: two of one name, another type and a broken module are told, and whose they are."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from mlopt.core import plugins
from mlopt.core.errors import PluginError


@dataclass(frozen=True)
class Tool:
    name: str


Brings = Callable[..., None]


@pytest.fixture
def brings(monkeypatch: pytest.MonkeyPatch) -> Brings:
    """Let another package bring these objects, each as an entry point of its own."""

    def bring(**objects: object) -> None:
        module = types.ModuleType("brought")
        vars(module).update(objects)
        monkeypatch.setitem(sys.modules, "brought", module)
        points = [EntryPoint(name, f"brought:{name}", "mlopt.tools") for name in objects]
        monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "mlopt.tools" else [])

    return bring


def table(*own: Tool) -> dict[str, Tool]:
    return plugins.extended("mlopt.tools", own, Tool, "pass")


def test_own_entries_come_first_and_each_is_known_by_its_own_name(brings: Brings) -> None:
    brings(spoon=Tool("ladle"))
    assert list(table(Tool("knife"), Tool("fork"))) == ["knife", "fork", "ladle"]


def test_two_of_one_name_are_refused_whoever_brings_them(brings: Brings) -> None:
    brings(spoon=Tool("knife"))
    with pytest.raises(PluginError, match="two passes are called 'knife'") as caught:
        table(Tool("knife"))
    assert caught.value.problems[0].where == "mlopt and an unknown package (brought:spoon)"
    brings(spoon=Tool("ladle"), scoop=Tool("ladle"))
    with pytest.raises(PluginError, match=r"brought:spoon\) and an unknown package \(brought:scoop"):
        table(Tool("knife"))


def test_what_is_of_another_type_is_refused(brings: Brings) -> None:
    brings(spoon="a spoon")
    with pytest.raises(PluginError, match="the entry point 'spoon' is not a pass") as caught:
        table()
    assert (caught.value.problems[0].got, caught.value.problems[0].expected) == ("str", f"a {__name__}.Tool")


@pytest.mark.parametrize(
    ("error", "got"), [(KeyError("gone"), "KeyError: 'gone'"), (ImportError("no module 'x'"), "no module 'x'")]
)
def test_whatever_a_module_raises_is_an_error_of_its_package(
    brings: Brings, monkeypatch: pytest.MonkeyPatch, error: Exception, got: str
) -> None:
    def fail(_point: EntryPoint) -> object:
        raise error

    brings(spoon=Tool("spoon"))
    monkeypatch.setattr(EntryPoint, "load", fail)
    with pytest.raises(PluginError, match="the pass 'spoon' cannot be loaded") as caught:
        table()
    assert caught.value.problems[0].got == got
