from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from recipe_example import GOOD

from mlopt import __version__
from mlopt.passes.base import Pass
from mlopt.recipe.load import Loaded, load, parse
from mlopt.recipe.lock import installed, lock, records
from mlopt.recipe.origin import Origin
from mlopt.recipe.yaml_reader import read_text


def made_from(loaded: Loaded, **changes: Any) -> Origin:
    known: dict[str, Any] = {"sources": {}, "packages": {"onnx": "1.23.2"}}
    return Origin(mlopt=__version__, recipe=loaded.text_digest, **(known | changes))


def test_a_lock_holds_everything_and_runs_as_the_same_recipe(
    write_recipe: Callable[[str], Path], passes: dict[str, Pass[Any]]
) -> None:
    loaded = load(write_recipe(GOOD), passes=passes, overrides=["target.threads=3"])
    origin = made_from(
        loaded, sources={"model.source": "ab" * 32, "data.evaluation": "cd" * 32},
        packages={"onnx": "1.23.2", "numpy": "2.3"}, overrides=("target.threads=3",), started="2026-11-23T14:10:00Z",
    )  # fmt: skip
    text = lock(loaded.recipe, origin)
    data = read_text(text, "recipe.lock.yaml").data
    assert data["lock"] == {
        "mlopt": __version__,
        "recipe": loaded.text_digest,
        "overrides": ["target.threads=3"],
        "started": "2026-11-23T14:10:00Z",
        "sources": {"data.evaluation": "cd" * 32, "model.source": "ab" * 32},
        "packages": {"numpy": "2.3", "onnx": "1.23.2"},
        "records": {},
    }
    assert Origin.model_validate(data["lock"]) == origin
    assert data["target"]["threads"] == 3
    assert data["passes"][2] == {
        "quantize": {"mode": "static", "scheme": "auto", "exclude": [], "reduce_range": None, "optional": True}
    }
    assert data["seed"] == 0
    again = parse(text, Path("recipe.lock.yaml"), passes=passes)
    assert again.recipe == loaded.recipe


def test_the_same_recipe_gives_the_same_lock(
    write_recipe: Callable[[str], Path], passes: dict[str, Pass[Any]], golden: Any
) -> None:
    path = write_recipe("apiVersion: mlopt/v1\nname: m\nmodel: {source: ./m.onnx}\npasses: [simplify, quantize]\n")
    loaded = load(path, passes=passes)
    first, second = (lock(loaded.recipe, made_from(loaded, sources={"model.source": "ab" * 32})) for _ in range(2))
    assert first == second
    golden("recipe/recipe.lock.yaml", first.replace(f"mlopt: {__version__}", "mlopt: VERSION"))


def test_a_record_is_digested_as_sha256sum_does() -> None:
    record = metadata.distribution("numpy").locate_file(f"numpy-{metadata.version('numpy')}.dist-info/RECORD")
    digest = hashlib.sha256(Path(str(record)).read_bytes()).hexdigest()
    assert records({"numpy": "any", "not-installed": "1"}) == {"numpy": digest}
    assert records({"other": "2.0 (numpy)"}) == {"other": digest}
    assert installed("onnxruntime", "1.31.1 (onnxruntime-gpu)") == ("onnxruntime-gpu", "1.31.1")
    assert installed("torch", "2.13.0+cpu") == ("torch", "2.13.0+cpu")
