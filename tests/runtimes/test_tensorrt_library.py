"""Which of the two libraries is taken, what is said where neither answers, and that the code uses what both have."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from mlopt.core.errors import MissingPackage, PassError
from mlopt.core.hardware import Gpu
from mlopt.passes.building import engine
from mlopt.runtimes import tensorrt_library
from mlopt.runtimes.tensorrt_library import LIBRARIES, TENSORRT, TENSORRT_RTX, chosen, import_library, try_set

GPU = Gpu(name="a GPU", compute_capability="8.9", memory_bytes=8 << 30, driver="13.0")
NAMES = json.loads((Path(__file__).parents[1] / "goldens" / "tensorrt_names.json").read_text(encoding="utf-8"))
HOLDS = {
    "trt": "", "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser", "error": "ParserError",
    "tensor": "ITensor", "config": "IBuilderConfig", "profile": "IOptimizationProfile",
}  # fmt: skip
"""What the code calls an object, and of which class it is."""
RTX_ALONE = {
    ("", "ComputeCapability"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
}
"""What is asked for where the recipe names targets, which TensorRT-RTX alone builds for."""
PYTHONS_OWN = {"__version__"}


def here(monkeypatch: pytest.MonkeyPatch, *names: str, version: str | None = None) -> None:
    """As if these modules were installed, and no others of the kind."""
    monkeypatch.setattr(tensorrt_library, "find_spec", lambda name: name if name in names else None)
    monkeypatch.setattr(tensorrt_library, "version", lambda _name: version)


def test_full_tensorrt_is_taken_where_a_gpu_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "tensorrt", "tensorrt_rtx", version="10.16.1")
    assert chosen("auto", GPU) is TENSORRT
    assert chosen("auto", None) is TENSORRT_RTX
    assert chosen("tensorrt", None) is TENSORRT


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=lambda each: each.name)
def test_a_library_that_is_not_there_is_told_with_the_command_that_brings_it(
    library: tensorrt_library.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch)
    problem = library.lacking(GPU)
    assert problem is not None
    assert str(problem.fix).startswith("pip install ")


def test_full_tensorrt_is_never_imported_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "tensorrt", version="11.4.0")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackage, match="no GPU answers"):
        import_library(TENSORRT, None)


def test_one_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "tensorrt", version="8.6.1")
    problem = TENSORRT.lacking(GPU)
    assert problem is not None
    assert problem.got == "8.6.1"


def test_a_package_that_only_downloads_the_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "tensorrt", version="11.4.0")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackage, match="does not import"):
        import_library(TENSORRT, GPU)


def test_something_else_of_that_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "tensorrt", version="11.4.0")
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(MissingPackage, match="is not TensorRT"):
        import_library(TENSORRT, GPU)


def test_an_option_that_is_not_there_or_refused_is_named_with_library_and_version() -> None:
    trt = SimpleNamespace(__version__="10.16")
    for setter in (lambda trt: trt.absent, lambda _trt: False):
        with pytest.raises(PassError) as caught:
            try_set(TENSORRT, trt, "tiling", setter)
        assert caught.value.problems[0].where == "passes.tensorrt.tiling"
        assert "TensorRT 10.16" in str(caught.value.problems[0].got)


def used() -> Iterator[tuple[str, str]]:
    """Yield each name that the builder takes of the library, with its class."""
    for node in ast.walk(ast.parse(Path(engine.__file__).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Attribute):
            continue
        if isinstance(node.value, ast.Name) and node.value.id in HOLDS:
            yield HOLDS[node.value.id], node.attr
        if (
            isinstance(node.value, ast.Attribute)
            and isinstance(node.value.value, ast.Name)
            and node.value.value.id == "trt"
        ):
            yield node.value.attr, node.attr
    for name in engine.FLAGS.values():
        yield "BuilderFlag", name
    for name, values in engine.ATTRIBUTES.values():
        yield "IBuilderConfig", name
        if values:
            yield "", values


@pytest.mark.parametrize("library", NAMES)
def test_the_code_uses_what_each_version_has(library: str) -> None:
    names, wanted = NAMES[library], set(used())
    assert len(wanted) > 20
    without = RTX_ALONE if not library.startswith("tensorrt_rtx") else set()
    missing = [
        (of, name) for of, name in wanted - without
        if name not in PYTHONS_OWN and name not in names.get(of, ()) and (of in names or of == "")
    ]  # fmt: skip
    assert missing == []


@pytest.mark.parametrize(
    "values",
    [
        ("TilingOptimizationLevel", ("NONE", "FAST", "MODERATE", "FULL")),
        ("HardwareCompatibilityLevel", ("SAME_COMPUTE_CAPABILITY", "AMPERE_PLUS")),
    ],
)
@pytest.mark.parametrize("library", NAMES)
def test_each_value_of_an_option_is_there(library: str, values: tuple[str, tuple[str, ...]]) -> None:
    assert set(values[1]) <= set(NAMES[library][values[0]])
